// GGUF files: tensors that may be quantised, and typed metadata.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/file.h"
#include "sdrbee/io/gguf_header.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// A GGUF file, mapped into memory. As a WeightSource its quantised tensors count as fp32 ones and
/// are expanded at every read; plain ones alias the mapping. Tensors that alias the mapping keep it
/// alive and give their pages back to the system when they are freed.
/// The file must not be truncated while it is open.
class GgufFile final : public WeightSource {
 public:
  /// Reads and checks the whole header, see parse_gguf_header. Throws CheckpointError naming the
  /// file and the key or tensor, and UnsupportedModel for pickle files.
  explicit GgufFile(const std::filesystem::path& path);

  std::vector<std::string> names() const override;
  std::optional<WeightInfo> find(const std::string& name) const override;

  /// Throws UnsupportedModel for a quantised type that dequantise doesn't know.
  Tensor read(const std::string& name) const override;
  std::string origin(const std::string& name) const override;

  /// Plain tensors, too.
  QuantisedTensor read_blocks(const std::string& name) const override;

  /// The type that a tensor is stored in; nothing when there is no such name.
  std::optional<GgmlType> find_type(const std::string& name) const;

  /// `general.architecture` ("flux", "sd3", "t5", "llama"); nothing when the file doesn't say.
  std::optional<std::string> architecture() const;

  const std::filesystem::path& path() const { return path_; }
  const GgufMetadata& metadata() const { return header_.metadata; }

 private:
  const GgufEntry& entry(const std::string& name) const;

  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  GgufHeader header_;
};

}  // namespace sdrbee::io
