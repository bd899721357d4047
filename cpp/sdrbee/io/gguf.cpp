#include "sdrbee/io/gguf.h"

#include <ATen/ops/from_blob.h>

#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/dequantise.h"
#include "sdrbee/io/pickle_refusal.h"

namespace sdrbee::io {

GgufFile::GgufFile(const std::filesystem::path& path) : path_(path) {
  file_ = MappedFile::open(path_);
  refuse_pickle(path_, file_->bytes());
  const std::string_view content(reinterpret_cast<const char*>(file_->bytes().data()),
                                 file_->bytes().size());
  header_ = parse_gguf_header(content, path_.string());
}

std::vector<std::string> GgufFile::names() const {
  std::vector<std::string> names;
  names.reserve(header_.tensors.size());
  for (const auto& item : header_.tensors) names.push_back(item.first);
  return names;
}

std::optional<WeightInfo> GgufFile::find(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end()) return std::nullopt;
  const GgmlLayout& layout = ggml_layout(found->second.type);
  WeightInfo info = {layout.dtype.value_or(Dtype::Float), found->second.shape};
  if (!layout.dtype) info.blocks = layout.type;
  return info;
}

std::optional<GgmlType> GgufFile::find_type(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end()) return std::nullopt;
  return found->second.type;
}

Tensor GgufFile::read(const std::string& name) const {
  const GgufEntry& found = entry(name);
  require_dequantisable(found.type, name, path_.string());
  const Dtype dtype = ggml_layout(found.type).dtype.value_or(Dtype::Float);
  return dequantise(read_blocks(name), dtype);
}

std::string GgufFile::origin(const std::string&) const { return path_.string(); }

QuantisedTensor GgufFile::read_blocks(const std::string& name) const {
  const GgufEntry& found = entry(name);
  const auto bytes = file_->bytes().subspan(found.begin, found.end - found.begin);
  // from_blob takes a writable pointer, but the pages are mapped read-only. The alignment of the
  // data is enough for every plain type.
  const Tensor blocks = at::from_blob(
      const_cast<std::byte*>(bytes.data()), {std::ssize(bytes)},
      [file = file_, bytes](void*) { file->release_pages(bytes); },
      at::TensorOptions().dtype(Dtype::Byte));
  return {.type = found.type, .shape = found.shape, .bytes = blocks};
}

std::optional<std::string> GgufFile::architecture() const {
  return find_gguf_text(header_.metadata, "general.architecture");
}

const GgufEntry& GgufFile::entry(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end())
    throw CheckpointError(message("[", path_.string(), "] missing tensor '", name, "'"));
  return found->second;
}

}  // namespace sdrbee::io
