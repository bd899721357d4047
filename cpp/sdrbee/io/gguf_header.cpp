#include "sdrbee/io/gguf_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/json.h"
#include "sdrbee/io/utf8.h"

namespace sdrbee::io {
namespace {

constexpr uint32_t kOldestVersion = 2;
constexpr uint32_t kNewestVersion = 3;
constexpr uint64_t kMaxNameBytes = 65535;  // the specification's limit for keys
constexpr uint64_t kMinAlignment = 8;      // the specification's, and enough for every type
constexpr uint64_t kMaxAlignment = 65536;
// The fewest bytes that a metadata entry and a tensor's description take: empty name, one byte;
// empty name, one extent.
constexpr uint64_t kMinMetadataBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;
constexpr std::string_view kAlignmentKey = "general.alignment";

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

constexpr uint32_t kListType = 9;
static_assert(std::is_same_v<std::variant_alternative_t<kListType, GgufValue>, GgufList>);

std::string in_tensor(const std::string& name) { return "tensor '" + name + "'"; }

/// Reads numbers and texts one after the other and never past the end.
class Cursor {
 public:
  Cursor(std::string_view file, const std::string& origin) : file_(file), origin_(origin) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return file_.size() - position_; }

  /// What the messages call the thing that is being read.
  void enter(std::string place) { place_ = std::move(place); }

  [[noreturn]] void fail(const std::string& text, uint64_t offset) const {
    throw CheckpointError(message("[", origin_, "] ", place_, " at byte ", offset, ": ", text));
  }

  std::string_view take(uint64_t count) {
    if (count > remaining())
      fail(message("expected ", count, " more bytes but the file ends after ", remaining(),
                   "; is it truncated?"),
           position_);
    const std::string_view bytes = file_.substr(position_, count);
    position_ += count;
    return bytes;
  }

  template <typename Number>
  Number number() {
    static_assert(std::is_arithmetic_v<Number>);
    Number value = {};
    std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
    return value;
  }

  std::string text() {
    const uint64_t start = position_;
    std::string text(take(number<uint64_t>()));
    if (!is_utf8(text)) fail("expected text in UTF-8", start);
    return text;
  }

  /// A key or a tensor's name.
  std::string name() {
    const uint64_t start = position_;
    const auto length = number<uint64_t>();
    if (length == 0 || length > kMaxNameBytes)
      fail(message("expected a name of 1 to ", kMaxNameBytes, " bytes but got ", length), start);
    position_ = start;
    return text();
  }

  /// A count of things that take at least `least_bytes` each.
  uint64_t count(uint64_t least_bytes) {
    const uint64_t start = position_;
    const auto count = number<uint64_t>();
    if (count > remaining() / least_bytes)
      fail(message(count, " entries need more than the ", remaining(), " bytes that follow; is ",
                   "the file truncated?"),
           start);
    return count;
  }

  template <typename Value>
  Value value() {
    if constexpr (std::is_same_v<Value, std::string>) {
      return text();
    } else if constexpr (std::is_same_v<Value, bool>) {
      const auto byte = number<uint8_t>();
      if (byte > 1) fail(message("expected 0 or 1 in a bool but got ", byte + 0), position_ - 1);
      return byte == 1;
    } else {
      return number<Value>();
    }
  }

 private:
  std::string_view file_;
  const std::string& origin_;
  std::string place_ = "GGUF header";
  uint64_t position_ = 0;
};

template <typename Element>
std::vector<Element> read_elements(Cursor& cursor) {
  constexpr uint64_t kLeastBytes = std::is_same_v<Element, std::string> ? 8 : sizeof(Element);
  const uint64_t count = cursor.count(kLeastBytes);
  std::vector<Element> elements;
  for (uint64_t i = 0; i < count; ++i) elements.push_back(cursor.value<Element>());
  return elements;
}

/// The value whose type is the alternative of GgufValue at `Index`, or, in a list, its elements.
template <uint32_t Index>
GgufValue read_alternative(Cursor& cursor, bool in_list) {
  using Value = std::variant_alternative_t<Index, GgufValue>;
  if constexpr (std::is_same_v<Value, GgufList>) {
    cursor.fail("lists of lists are not supported", cursor.position());
  } else {
    if (in_list) return GgufList(read_elements<Value>(cursor));
    return cursor.value<Value>();
  }
}

template <uint32_t... Indices>
GgufValue read_typed(Cursor& cursor, uint32_t type, bool in_list,
                     std::integer_sequence<uint32_t, Indices...>) {
  using Reader = GgufValue (*)(Cursor&, bool);
  static constexpr Reader kReaders[] = {&read_alternative<Indices>...};
  return kReaders[type](cursor, in_list);
}

uint32_t read_value_type(Cursor& cursor) {
  const auto type = cursor.number<uint32_t>();
  if (type >= std::variant_size_v<GgufValue>)
    cursor.fail(message("expected a value type of 0 to ", std::variant_size_v<GgufValue> - 1,
                        " but got ", type),
                cursor.position() - sizeof(type));
  return type;
}

GgufValue read_value(Cursor& cursor) {
  constexpr std::make_integer_sequence<uint32_t, std::variant_size_v<GgufValue>> kIndices;
  const uint32_t type = read_value_type(cursor);
  if (type != kListType) return read_typed(cursor, type, false, kIndices);
  const uint32_t element_type = read_value_type(cursor);
  return read_typed(cursor, element_type, true, kIndices);
}

GgufMetadata read_metadata(Cursor& cursor, uint64_t count) {
  GgufMetadata metadata;
  for (uint64_t i = 0; i < count; ++i) {
    cursor.enter(message("metadata entry ", i));
    const uint64_t start = cursor.position();
    const std::string key = cursor.name();
    cursor.enter("metadata '" + key + "'");
    if (!metadata.emplace(key, read_value(cursor)).second) cursor.fail("duplicate key", start);
  }
  return metadata;
}

/// The product of extents of at least 1; nothing when one isn't or the product overflows.
std::optional<int64_t> checked_product(const std::vector<int64_t>& extents) {
  int64_t product = 1;
  for (const int64_t extent : extents)
    if (extent < 1 || __builtin_mul_overflow(product, extent, &product)) return std::nullopt;
  return product;
}

/// Extents, contiguous one first as in the file, to torch's order.
std::vector<int64_t> read_shape(Cursor& cursor) {
  const uint64_t start = cursor.position();
  const auto dimensions = cursor.number<uint32_t>();
  if (dimensions < 1 || dimensions > kMaxGgufDimensions)
    cursor.fail(message("expected 1 to ", kMaxGgufDimensions, " extents but got ", dimensions),
                start);
  std::vector<int64_t> shape;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto extent = cursor.number<uint64_t>();
    if (extent < 1 || extent > static_cast<uint64_t>(INT64_MAX))
      cursor.fail(message("expected an extent of at least 1 but got ", extent),
                  cursor.position() - sizeof(extent));
    shape.push_back(static_cast<int64_t>(extent));
  }
  std::reverse(shape.begin(), shape.end());
  return shape;
}

const GgmlLayout& read_layout(Cursor& cursor) {
  const auto number = cursor.number<uint32_t>();
  const GgmlLayout* layout = find_ggml_layout(number);
  if (layout == nullptr)
    cursor.fail(message("unknown tensor type ", number), cursor.position() - sizeof(number));
  return *layout;
}

/// Bytes of a tensor of this shape and layout.
uint64_t checked_bytes(const Cursor& cursor, const std::vector<int64_t>& shape,
                       const GgmlLayout& layout) {
  if (shape.back() % layout.block_elements != 0)
    cursor.fail(message("expected rows of whole blocks of ", layout.block_elements,
                        " values for type ", layout.name, " but got shape ", shape_text(shape)),
                cursor.position());
  const auto elements = checked_product(shape);
  int64_t bytes = 0;
  if (!elements ||
      __builtin_mul_overflow(*elements / layout.block_elements, layout.block_bytes, &bytes))
    cursor.fail(message("shape ", shape_text(shape), " is too large"), cursor.position());
  return static_cast<uint64_t>(bytes);
}

/// One tensor's description; `begin` and `end` count from the start of the data as yet.
GgufEntry read_entry(Cursor& cursor, uint64_t alignment) {
  GgufEntry entry;
  entry.shape = read_shape(cursor);
  const GgmlLayout& layout = read_layout(cursor);
  entry.type = layout.type;
  const uint64_t bytes = checked_bytes(cursor, entry.shape, layout);
  const uint64_t start = cursor.position();
  entry.begin = cursor.number<uint64_t>();
  if (entry.begin % alignment != 0)
    cursor.fail(message("expected an offset that is a multiple of the alignment ", alignment,
                        " but got ", entry.begin),
                start);
  if (__builtin_add_overflow(entry.begin, bytes, &entry.end))
    cursor.fail(message("offset ", entry.begin, " is too large"), start);
  return entry;
}

std::map<std::string, GgufEntry> read_entries(Cursor& cursor, uint64_t count, uint64_t alignment) {
  std::map<std::string, GgufEntry> entries;
  for (uint64_t i = 0; i < count; ++i) {
    cursor.enter(message("tensor entry ", i));
    const uint64_t start = cursor.position();
    const std::string name = cursor.name();
    cursor.enter(in_tensor(name));
    if (!entries.emplace(name, read_entry(cursor, alignment)).second)
      cursor.fail("duplicate name", start);
  }
  return entries;
}

/// The tensors must follow each other from the first to the last byte of the data, each at the
/// next aligned offset; after the last one there may be padding. Makes their offsets the file's.
void place_in_file(GgufHeader& header, uint64_t file_bytes, const std::string& origin) {
  using Item = std::pair<const std::string, GgufEntry>*;
  std::vector<Item> items;
  for (auto& item : header.tensors) items.push_back(&item);
  std::sort(items.begin(), items.end(),
            [](Item a, Item b) { return a->second.begin < b->second.begin; });
  const uint64_t data_bytes = file_bytes - std::min(file_bytes, header.data_offset);
  const auto aligned = [&](uint64_t offset) { return align_gguf_offset(offset, header.alignment); };
  uint64_t position = 0;
  for (const Item item : items) {
    GgufEntry& entry = item->second;
    const auto fail = [&](const std::string& text) {
      throw CheckpointError(message("[", origin, "] ", in_tensor(item->first), ": ", text));
    };
    if (entry.end > data_bytes)
      fail(message("bytes ", entry.begin, " to ", entry.end, " are not inside the file's ",
                   data_bytes, " bytes of data; is the file truncated?"));
    if (entry.begin != aligned(position))
      fail(message("expected data at offset ", aligned(position), " but the header says ",
                   entry.begin, " (a gap or an overlap)"));
    position = entry.end;
    entry.begin += header.data_offset;
    entry.end += header.data_offset;
  }
  if (data_bytes > aligned(position))
    throw CheckpointError(message("[", origin, "] the tensors end at offset ", position,
                                  " but the file holds ", data_bytes, " bytes of data"));
}

/// Gives the tensors the shapes that they had before the converter reshaped them.
void restore_shapes(GgufHeader& header, const std::string& origin) {
  for (auto& [name, entry] : header.tensors) {
    const std::string key = std::string(kGgufShapeKey) + name;
    const auto found = header.metadata.find(key);
    if (found == header.metadata.end()) continue;
    const auto* list = std::get_if<GgufList>(&found->second);
    const auto* extents = list == nullptr ? nullptr : std::get_if<std::vector<int32_t>>(list);
    if (extents == nullptr)
      throw CheckpointError(message("[", origin, "] metadata '", key,
                                    "': expected a list of INT32, the shape of ", in_tensor(name)));
    const std::vector<int64_t> shape(extents->begin(), extents->end());
    const auto product = checked_product(shape);
    if (!product || *product != checked_product(entry.shape))
      throw CheckpointError(message("[", origin, "] metadata '", key, "': expected a shape with ",
                                    "the number of values of ", shape_text(entry.shape),
                                    " but got ", shape_text(shape)));
    entry.shape = shape;
  }
}

uint32_t read_version(Cursor& cursor) {
  if (!is_gguf(cursor.take(std::min<uint64_t>(kGgufMagic.size(), cursor.remaining()))))
    cursor.fail("expected the four letters GGUF; is this a GGUF file?", 0);
  const auto version = cursor.number<uint32_t>();
  if ((version & 0xffff) == 0)
    cursor.fail("expected a little-endian file but got a big-endian one", kGgufMagic.size());
  if (version < kOldestVersion || version > kNewestVersion)
    cursor.fail(
        message("expected version ", kOldestVersion, " or ", kNewestVersion, " but got ", version),
        kGgufMagic.size());
  return version;
}

}  // namespace

bool is_gguf(std::string_view file) { return file.starts_with(kGgufMagic); }

GgufHeader parse_gguf_header(std::string_view file, const std::string& origin) {
  Cursor cursor(file, origin);
  GgufHeader header;
  header.version = read_version(cursor);
  cursor.enter("number of tensors");
  const uint64_t tensor_count = cursor.count(kMinTensorBytes);
  cursor.enter("number of metadata entries");
  const uint64_t metadata_count = cursor.count(kMinMetadataBytes);
  header.metadata = read_metadata(cursor, metadata_count);
  header.alignment = gguf_alignment(header.metadata, origin);
  header.tensors = read_entries(cursor, tensor_count, header.alignment);
  header.data_offset = align_gguf_offset(cursor.position(), header.alignment);
  place_in_file(header, file.size(), origin);
  restore_shapes(header, origin);
  return header;
}

uint64_t gguf_alignment(const GgufMetadata& metadata, const std::string& origin) {
  const auto found = metadata.find(std::string(kAlignmentKey));
  if (found == metadata.end()) return kDefaultGgufAlignment;
  const auto* alignment = std::get_if<uint32_t>(&found->second);
  if (alignment == nullptr)
    throw CheckpointError(message("[", origin, "] metadata '", kAlignmentKey,
                                  "': expected a UINT32 but got value type ",
                                  found->second.index()));
  if (!std::has_single_bit(*alignment) || *alignment < kMinAlignment || *alignment > kMaxAlignment)
    throw CheckpointError(message("[", origin, "] metadata '", kAlignmentKey,
                                  "': expected a power of two from ", kMinAlignment, " to ",
                                  kMaxAlignment, " but got ", *alignment));
  return *alignment;
}

std::optional<std::string> find_gguf_text(const GgufMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  const auto* text = std::get_if<std::string>(&found->second);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

}  // namespace sdrbee::io
