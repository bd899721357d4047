// The header of a GGUF file (version 2 or 3, little-endian), parsed strictly:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sdrbee/io/ggml_type.h"

namespace sdrbee::io {

/// A list in the metadata. Lists of lists are refused, as ggml does.
using GgufList = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                              std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>,
                              std::vector<float>, std::vector<bool>, std::vector<std::string>,
                              std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;

/// A value of the metadata, in the type that the file gives it.
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                               std::string, GgufList, uint64_t, int64_t, double>;

using GgufMetadata = std::map<std::string, GgufValue>;

inline constexpr std::string_view kGgufMagic = "GGUF";
inline constexpr uint32_t kMaxGgufDimensions = 4;  // GGML_MAX_DIMS
inline constexpr uint64_t kDefaultGgufAlignment = 32;

/// The next offset that is a multiple of the alignment.
constexpr uint64_t align_gguf_offset(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

/// The metadata key of a tensor's shape where the file stores it in another one. Converters for
/// ComfyUI write it: https://github.com/city96/ComfyUI-GGUF (`get_orig_shape`).
inline constexpr std::string_view kGgufShapeKey = "comfy.gguf.orig_shape.";

/// One tensor: `begin` and `end` are offsets in the file.
struct GgufEntry {
  GgmlType type = GgmlType::F32;
  /// In torch's order, after `comfy.gguf.orig_shape`.
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;

  bool operator==(const GgufEntry&) const = default;
};

struct GgufHeader {
  uint32_t version = 0;
  GgufMetadata metadata;
  std::map<std::string, GgufEntry> tensors;
  uint64_t alignment = kDefaultGgufAlignment;
  /// Where the data starts in the file.
  uint64_t data_offset = 0;
};

/// Whether the file starts as a GGUF file does.
bool is_gguf(std::string_view file);

/// Parses and checks the header at the start of `file`, the whole content of a GGUF file: known
/// types, lengths inside the file, names once, 1 to 4 extents of at least 1, rows of whole blocks,
/// tensors that follow each other through the data with no gap but the alignment's. Throws
/// CheckpointError naming `origin`, the key or tensor, and the offset.
GgufHeader parse_gguf_header(std::string_view file, const std::string& origin);

/// What `general.alignment` says, or the default. Throws CheckpointError naming `origin` unless it
/// is a power of two from 8 to 65536.
uint64_t gguf_alignment(const GgufMetadata& metadata, const std::string& origin);

/// The text under `key`; nothing when there is no such key or it holds something else.
std::optional<std::string> find_gguf_text(const GgufMetadata& metadata, const std::string& key);

}  // namespace sdrbee::io
