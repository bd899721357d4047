// Where weights come from: the seam between files and networks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sdrbee/core/tensor.h"
#include "sdrbee/io/ggml_type.h"

namespace sdrbee::io {

/// What a file's header says of a tensor.
struct WeightInfo {
  Dtype dtype = Dtype::Float;
  std::vector<int64_t> shape;
  /// The type of a quantised tensor that can be had in blocks; `dtype` is then that of its values.
  std::optional<GgmlType> blocks = std::nullopt;
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

  /// The values of read() in `dtype`, rounded once; the same rules hold.
  virtual Tensor read_as(const std::string& name, Dtype dtype) const;

  /// A tensor whose WeightInfo says `blocks`, as it is stored; the same rules hold. Throws
  /// CheckpointError when there is no such name, InternalError when it is not in blocks.
  virtual QuantisedTensor read_blocks(const std::string& name) const;

  /// The file that holds the tensor (or would hold it), for messages.
  virtual std::string origin(const std::string& name) const = 0;
};

}  // namespace sdrbee::io
