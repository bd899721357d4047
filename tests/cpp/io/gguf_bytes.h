// GGUF files written by hand, also wrong ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sdrbee::io::testing {

/// Bytes that are put together from left to right.
class GgufBytes {
 public:
  /// Starts with the letters GGUF and the version.
  explicit GgufBytes(uint32_t version = 3) : content_("GGUF") { number(version); }

  static GgufBytes nothing() {
    GgufBytes bytes;
    bytes.content_.clear();
    return bytes;
  }

  template <typename Number>
  GgufBytes& number(Number value) {
    content_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  GgufBytes& text(std::string_view text) {
    number(uint64_t{text.size()});
    content_ += text;
    return *this;
  }
  GgufBytes& raw(const GgufBytes& bytes) {
    content_ += bytes.content_;
    return *this;
  }
  GgufBytes& counts(uint64_t tensors, uint64_t metadata) {
    return number(tensors).number(metadata);
  }
  /// Extents in the file's order, the contiguous one first.
  GgufBytes& tensor(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                    uint64_t offset) {
    text(name).number(static_cast<uint32_t>(extents.size()));
    for (const uint64_t extent : extents) number(extent);
    return number(type).number(offset);
  }
  /// Padding, then `count` bytes of data.
  GgufBytes& data(size_t count, size_t alignment = 32) {
    content_.resize((content_.size() + alignment - 1) / alignment * alignment);
    content_.resize(content_.size() + count, '\1');
    return *this;
  }

  const std::string& content() const { return content_; }

 private:
  std::string content_;
};

}  // namespace sdrbee::io::testing
