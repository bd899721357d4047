// A check that the JPEG decoder itself lacks in its older releases.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace sdrbee::io {

/// Throws InvalidRequest when a Huffman table of a JPEG lists over 256 codes or reaches beyond its
/// segment. stb_image 2.27, which Debian 12 has, writes past its arrays for such a table. Follows
/// the markers as stb_image does.
void check_jpeg_tables(std::span<const std::byte> file, const std::string& origin);

}  // namespace sdrbee::io
