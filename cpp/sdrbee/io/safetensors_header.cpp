#include "sdrbee/io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/json.h"

namespace sdrbee::io {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr size_t kMaxDimensions = 32;

constexpr std::array<std::pair<std::string_view, Dtype>, 11> kDtypes = {{
    {"F32", Dtype::Float},
    {"F16", Dtype::Half},
    {"BF16", Dtype::BFloat16},
    {"F8_E4M3", Dtype::Float8_e4m3fn},
    {"F8_E5M2", Dtype::Float8_e5m2},
    {"I8", Dtype::Char},
    {"I16", Dtype::Short},
    {"I32", Dtype::Int},
    {"I64", Dtype::Long},
    {"U8", Dtype::Byte},
    {"BOOL", Dtype::Bool},
}};

std::optional<Dtype> parse_dtype_name(std::string_view name) {
  for (const auto& [candidate, dtype] : kDtypes)
    if (candidate == name) return dtype;
  return std::nullopt;
}

/// Builds the header from JSON events. Nothing but the format's own structure is accepted, so
/// that a hostile header costs memory in proportion to its length only.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(SafetensorsHeader& header, const std::string& origin)
      : header_(header), origin_(origin) {}

  bool start_object(std::size_t) override {
    if (place_ == Place::Start) {
      place_ = Place::Names;
    } else if (place_ == Place::EntryOrMetadata) {
      place_ = name_ == "__metadata__" ? Place::Metadata : Place::Fields;
      entry_ = {};
      fields_.clear();
    } else {
      fail("expected no object here");
    }
    return true;
  }

  bool key(string_t& text) override {
    if (place_ == Place::Names) {
      if (!seen_.insert(text).second) throw error(message("duplicate key '", text, "'"));
      name_ = text;
      place_ = Place::EntryOrMetadata;
    } else if (place_ == Place::Metadata) {
      if (header_.metadata.contains(text)) fail("duplicate key '" + text + "'");
      metadata_key_ = text;
    } else {
      if (text != "dtype" && text != "shape" && text != "data_offsets")
        fail("expected dtype, shape, data_offsets but got '" + text + "'");
      if (!fields_.insert(text).second) fail("duplicate key '" + text + "'");
      field_ = text;
    }
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::Metadata) {
      header_.metadata[metadata_key_] = text;
    } else if (place_ == Place::Fields && field_ == "dtype") {
      const auto dtype = parse_dtype_name(text);
      if (!dtype) fail("unknown dtype '" + text + "'");
      entry_.info.dtype = *dtype;
    } else {
      fail("unexpected text '" + text + "'");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::Fields || field_ == "dtype") fail("unexpected list");
    place_ = Place::Numbers;
    numbers_.clear();
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::Numbers) fail("unexpected number");
    if (numbers_.size() == kMaxDimensions) fail("more than 32 numbers in '" + field_ + "'");
    if (value > static_cast<uint64_t>(INT64_MAX)) fail("number too large in '" + field_ + "'");
    numbers_.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool end_array() override {
    place_ = Place::Fields;
    if (field_ == "shape") {
      entry_.info.shape = numbers_;
    } else {
      if (numbers_.size() != 2) fail("expected two data_offsets");
      entry_.begin = static_cast<uint64_t>(numbers_[0]);
      entry_.end = static_cast<uint64_t>(numbers_[1]);
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::Names) {
      place_ = Place::End;
      return true;
    }
    if (place_ == Place::Fields) {
      if (fields_.size() != 3) fail("expected dtype, shape and data_offsets");
      header_.tensors.emplace(name_, std::move(entry_));
    }
    place_ = Place::Names;
    return true;
  }

  bool null() override { fail("unexpected null"); }
  bool boolean(bool) override { fail("unexpected true or false"); }
  bool number_integer(number_integer_t) override { fail("unexpected negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    fail("expected whole numbers but got " + text);
  }
  bool binary(binary_t&) override { fail("unexpected binary value"); }
  bool parse_error(std::size_t position, const std::string&,
                   const Json::exception& cause) override {
    throw error(message("the header is not valid JSON at byte ", position + kLengthBytes, ": ",
                        cause.what()));
  }

 private:
  enum class Place { Start, Names, EntryOrMetadata, Metadata, Fields, Numbers, End };

  CheckpointError error(const std::string& text) const {
    return CheckpointError(message("[", origin_, "] ", text));
  }
  [[noreturn]] void fail(const std::string& text) const {
    throw error(name_.empty() ? "safetensors header: " + text
                              : message("tensor '", name_, "': ", text));
  }

  SafetensorsHeader& header_;
  const std::string& origin_;
  Place place_ = Place::Start;
  std::set<std::string> seen_;
  std::string name_;
  std::string metadata_key_;
  std::string field_;
  std::set<std::string> fields_;
  std::vector<int64_t> numbers_;
  SafetensorsEntry entry_;
};

/// Bytes of a contiguous tensor; nothing on overflow. Extents of zero count as one in the
/// overflow check, because strides are computed that way.
std::optional<uint64_t> checked_bytes(const WeightInfo& info) {
  int64_t count = 1;
  int64_t bytes = static_cast<int64_t>(c10::elementSize(info.dtype));
  for (const int64_t extent : info.shape) {
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(extent, 1), &bytes)) return std::nullopt;
    count *= std::min<int64_t>(extent, 1);
  }
  return count == 0 ? 0 : static_cast<uint64_t>(bytes);
}

void check_entry(const std::string& name, const SafetensorsEntry& entry, uint64_t data_bytes,
                 const std::string& origin) {
  const auto fail = [&](const std::string& text) {
    throw CheckpointError(message("[", origin, "] tensor '", name, "': ", text));
  };
  if (entry.begin > entry.end || entry.end > data_bytes)
    fail(message("data_offsets [", entry.begin, ", ", entry.end, "] are not inside the file's ",
                 data_bytes, " bytes of data; is the file truncated?"));
  const auto bytes = checked_bytes(entry.info);
  if (!bytes) fail(message("shape ", shape_text(entry.info.shape), " is too large"));
  if (*bytes != entry.end - entry.begin)
    fail(message("expected ", *bytes, " bytes for shape ", shape_text(entry.info.shape), " of ",
                 safetensors_dtype_name(entry.info.dtype), " but data_offsets give ",
                 entry.end - entry.begin));
}

/// The byte ranges must follow each other from the first to the last byte of the data.
void check_coverage(const SafetensorsHeader& header, uint64_t data_bytes,
                    const std::string& origin) {
  using Item = const std::pair<const std::string, SafetensorsEntry>*;
  std::vector<Item> items;
  for (const auto& item : header.tensors) items.push_back(&item);
  std::sort(items.begin(), items.end(), [](Item a, Item b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t position = 0;
  for (const Item item : items) {
    if (item->second.begin != position)
      throw CheckpointError(message("[", origin, "] tensor '", item->first, "': expected data at ",
                                    "offset ", position, " but data_offsets start at ",
                                    item->second.begin, " (", "a gap or an overlap)"));
    position = item->second.end;
  }
  if (position != data_bytes)
    throw CheckpointError(message("[", origin, "] the tensors end at offset ", position,
                                  " but the file holds ", data_bytes, " bytes of data"));
}

uint64_t header_length(std::string_view file, const std::string& origin) {
  uint64_t length = 0;
  if (file.size() < kLengthBytes)
    throw CheckpointError(message("[", origin, "] expected a safetensors file of at least 8 bytes ",
                                  "but got ", file.size()));
  static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaxSafetensorsHeaderBytes)
    throw CheckpointError(message("[", origin, "] expected a header of at most ",
                                  kMaxSafetensorsHeaderBytes, " bytes but got ", length,
                                  "; is this a safetensors file?"));
  if (length > file.size() - kLengthBytes)
    throw CheckpointError(message("[", origin, "] the header's ", length, " bytes reach past the ",
                                  "file's end at ", file.size(), "; is the file truncated?"));
  if (length == 0 || file[kLengthBytes] != '{')
    throw CheckpointError(message("[", origin, "] the header must start with '{' at byte 8"));
  return length;
}

}  // namespace

std::string_view safetensors_dtype_name(Dtype dtype) {
  for (const auto& [name, value] : kDtypes)
    if (value == dtype) return name;
  throw CheckpointError(message("[safetensors] no name for dtype ", c10::toString(dtype)));
}

SafetensorsHeader parse_safetensors_header(std::string_view file, const std::string& origin) {
  const uint64_t length = header_length(file, origin);
  const std::string_view text = file.substr(kLengthBytes, length);
  SafetensorsHeader header;
  header.data_offset = kLengthBytes + length;
  HeaderReader reader(header, origin);
  Json::sax_parse(text.begin(), text.end(), &reader);
  const uint64_t data_bytes = file.size() - header.data_offset;
  for (const auto& [name, entry] : header.tensors) check_entry(name, entry, data_bytes, origin);
  check_coverage(header, data_bytes, origin);
  return header;
}

}  // namespace sdrbee::io
