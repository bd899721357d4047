#include "sdrbee/io/gguf_writer.h"

#include <limits>
#include <type_traits>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/io/file.h"

namespace sdrbee::io {
namespace {

constexpr uint32_t kVersion = 3;

/// Appends values as the format has them.
class Writer {
 public:
  const std::string& content() const { return content_; }

  template <typename Value>
  void append(const Value& value) {
    if constexpr (std::is_same_v<Value, std::string>) {
      append<uint64_t>(value.size());
      content_ += value;
    } else if constexpr (std::is_same_v<Value, bool>) {
      content_ += value ? '\1' : '\0';
    } else {
      static_assert(std::is_arithmetic_v<Value>);
      content_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
  }

  template <typename Element>
  void append_list(const std::vector<Element>& elements) {
    append(type_number(Element()));
    append<uint64_t>(elements.size());
    for (const Element& element : elements) append<Element>(element);
  }

  void append_metadata(const std::string& key, const GgufValue& item) {
    append(key);
    append(static_cast<uint32_t>(item.index()));
    if (const auto* list = std::get_if<GgufList>(&item))
      std::visit([this](const auto& vector) { append_list(vector); }, *list);
    else
      std::visit([this](const auto& scalar) { append_scalar(scalar); }, item);
  }

  void pad(uint64_t alignment) {
    content_.resize(align_gguf_offset(content_.size(), alignment), '\0');
  }

 private:
  static uint32_t type_number(const GgufValue& sample) {
    return static_cast<uint32_t>(sample.index());
  }

  template <typename Value>
  void append_scalar(const Value& scalar) {
    if constexpr (!std::is_same_v<Value, GgufList>) append(scalar);
  }

  std::string content_;
};

/// The extents, in torch's order, in which the file holds a tensor.
std::vector<int64_t> stored_shape(const std::filesystem::path& path, const std::string& name,
                                  const PlannedTensor& tensor) {
  const GgmlLayout& layout = ggml_layout(tensor.type);
  const int64_t elements = c10::multiply_integers(tensor.shape);
  if (elements < 1 || elements % layout.block_elements != 0)
    throw CheckpointError(message("[", path.string(), "] tensor '", name, "': expected whole ",
                                  "blocks of ", layout.block_elements, " values for type ",
                                  layout.name, " but got shape ", shape_text(tensor.shape)));
  const bool fits = !tensor.shape.empty() && tensor.shape.size() <= kMaxGgufDimensions &&
                    tensor.shape.back() % layout.block_elements == 0;
  if (fits) return tensor.shape;
  return {elements / layout.block_elements, layout.block_elements};
}

GgufList shape_list(const std::filesystem::path& path, const std::string& name,
                    const std::vector<int64_t>& shape) {
  std::vector<int32_t> extents;
  for (const int64_t extent : shape) {
    if (extent > std::numeric_limits<int32_t>::max())
      throw CheckpointError(message("[", path.string(), "] tensor '", name, "': shape ",
                                    shape_text(shape), " is too large for the metadata"));
    extents.push_back(static_cast<int32_t>(extent));
  }
  return extents;
}

uint64_t bytes_of(const PlannedTensor& tensor) {
  const GgmlLayout& layout = ggml_layout(tensor.type);
  const int64_t blocks = c10::multiply_integers(tensor.shape) / layout.block_elements;
  return static_cast<uint64_t>(blocks * layout.block_bytes);
}

std::string header_text(const std::map<std::string, PlannedTensor>& stored,
                        const GgufMetadata& metadata, uint64_t alignment) {
  Writer writer;
  for (const char letter : kGgufMagic) writer.append(letter);
  writer.append(kVersion);
  writer.append<uint64_t>(stored.size());
  writer.append<uint64_t>(metadata.size());
  for (const auto& [key, value] : metadata) writer.append_metadata(key, value);
  uint64_t offset = 0;
  for (const auto& [name, tensor] : stored) {
    writer.append(name);
    writer.append(static_cast<uint32_t>(tensor.shape.size()));
    for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent)
      writer.append(static_cast<uint64_t>(*extent));
    writer.append(static_cast<uint32_t>(tensor.type));
    writer.append(offset);
    offset = align_gguf_offset(offset + bytes_of(tensor), alignment);
  }
  writer.pad(alignment);
  return writer.content();
}

}  // namespace

void write_gguf(const std::filesystem::path& path, const std::map<std::string, PlannedTensor>& plan,
                const std::function<QuantisedTensor(const std::string& name)>& blocks,
                GgufMetadata metadata) {
  const uint64_t alignment = gguf_alignment(metadata, path.string());
  std::erase_if(metadata, [](const auto& item) { return item.first.starts_with(kGgufShapeKey); });
  std::map<std::string, PlannedTensor> stored;
  for (const auto& [name, tensor] : plan) {
    const PlannedTensor& item = stored[name] = {tensor.type, stored_shape(path, name, tensor)};
    if (item.shape != tensor.shape)
      metadata[std::string(kGgufShapeKey) + name] = shape_list(path, name, tensor.shape);
  }
  const std::string header = header_text(stored, metadata, alignment);
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(header)));
  const std::vector<std::byte> zeros(alignment);
  for (const auto& [name, tensor] : plan) {
    const QuantisedTensor answer = blocks(name);
    SDRBEE_CHECK(answer.type == tensor.type && answer.shape == tensor.shape, "for ", name);
    check_blocks(answer);
    const uint64_t count = answer.bytes.nbytes();
    file.write({static_cast<const std::byte*>(answer.bytes.const_data_ptr()), count});
    file.write(std::span(zeros).first(align_gguf_offset(count, alignment) - count));
  }
  file.commit();
}

void write_gguf(const std::filesystem::path& path,
                const std::map<std::string, QuantisedTensor>& tensors, GgufMetadata metadata) {
  std::map<std::string, PlannedTensor> plan;
  for (const auto& [name, tensor] : tensors) plan[name] = {tensor.type, tensor.shape};
  write_gguf(
      path, plan, [&](const std::string& name) { return tensors.at(name); }, std::move(metadata));
}

}  // namespace sdrbee::io
