#include "sdrbee/io/jpeg_tables.h"

#include <algorithm>
#include <cstdint>

#include "sdrbee/core/error.h"

namespace sdrbee::io {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::byte kMarkerStart{0xff};
constexpr std::byte kHuffmanTables{0xc4};
constexpr std::byte kEnd{0xd9};
constexpr size_t kCountBytes = 16;  // one count for each code length, after the table's number
constexpr size_t kMostCodes = 256;

size_t value(std::byte byte) { return std::to_integer<size_t>(byte); }

/// Stuffed zeros and restart markers within a scan have no segment behind them.
bool is_within_scan(std::byte marker) {
  return marker == std::byte{0} || (marker >= std::byte{0xd0} && marker <= std::byte{0xd7});
}

void check_segment(Bytes segment, size_t offset, const std::string& origin) {
  while (!segment.empty()) {
    size_t codes = 0;
    for (size_t i = 1; i <= kCountBytes && i < segment.size(); ++i) codes += value(segment[i]);
    if (codes > kMostCodes || segment.size() < 1 + kCountBytes + codes)
      throw InvalidRequest(message("[", origin, "] the JPEG is damaged: the Huffman tables at ",
                                   "offset ", offset, " don't fit into their segment"));
    segment = segment.subspan(1 + kCountBytes + codes);
  }
}

}  // namespace

void check_jpeg_tables(Bytes file, const std::string& origin) {
  size_t at = 2;  // behind the start-of-image marker
  while (true) {
    while (at < file.size() && file[at] != kMarkerStart) ++at;
    while (at < file.size() && file[at] == kMarkerStart) ++at;
    if (at >= file.size()) return;
    const std::byte marker = file[at++];
    if (marker == kEnd) return;
    if (is_within_scan(marker)) continue;
    if (file.size() - at < 2) return;
    const size_t length = value(file[at]) * 256 + value(file[at + 1]);
    const size_t inside = std::min(length, file.size() - at);
    if (marker == kHuffmanTables && inside > 2)
      check_segment(file.subspan(at + 2, inside - 2), at, origin);
    at += std::max<size_t>(inside, 2);
  }
}

}  // namespace sdrbee::io
