// The safetensors format: https://github.com/huggingface/safetensors#format
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/file.h"
#include "sdrbee/io/safetensors_header.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// A safetensors file, mapped into memory. Tensors alias the mapping (aligned ones; others are
/// copied), keep it alive, and give their pages back to the system when they are freed.
/// The file must not be truncated while it is open.
class SafetensorsFile final : public WeightSource {
 public:
  /// Reads and checks the whole header: known dtypes, shapes that match the byte ranges, ranges
  /// that cover the data without gap or overlap, no key twice. Throws CheckpointError naming the
  /// file and the key, and UnsupportedModel for pickle files.
  explicit SafetensorsFile(const std::filesystem::path& path);

  std::vector<std::string> names() const override;
  std::optional<WeightInfo> find(const std::string& name) const override;
  Tensor read(const std::string& name) const override;
  std::string origin(const std::string& name) const override;

  const std::filesystem::path& path() const { return path_; }

  /// The `__metadata__` of the header.
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

 private:
  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  SafetensorsHeader header_;
};

/// Writes a file atomically. `values` is asked for each planned tensor once, in any order, and its
/// answer (on the CPU, of the planned dtype and shape) is dropped before the next question: files
/// larger than the memory can be converted. Throws as below.
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, WeightInfo>& plan,
                       const std::function<Tensor(const std::string& name)>& values,
                       const std::map<std::string, std::string>& metadata = {});

/// Writes tensors (of any strides, on the CPU) as one file, atomically. Throws Error naming the
/// path when it can't be written and CheckpointError for a dtype that the format has no name for.
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace sdrbee::io
