// Where weights come from: the seam between files and networks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee::io {

/// What a file's header says of a tensor.
struct WeightInfo {
  Dtype dtype = Dtype::Float;
  std::vector<int64_t> shape;
};

/// Named tensors, read on demand. Readers of files implement it; wrappers rename or cast.
/// Reading is safe from several threads.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// All names, sorted.
  virtual std::vector<std::string> names() const = 0;

  /// Dtype and shape of a tensor without reading it; nothing when there is no such name.
  virtual std::optional<WeightInfo> find(const std::string& name) const = 0;

  /// The tensor, on the CPU. It may alias a mapped file (which it then keeps alive): never write
  /// to it. Throws CheckpointError when there is no such name.
  virtual Tensor read(const std::string& name) const = 0;

  /// The file that holds the tensor (or would hold it), for messages.
  virtual std::string origin(const std::string& name) const = 0;
};

}  // namespace sdrbee::io
