// PNG files chunk by chunk, and the texts that they carry. https://www.w3.org/TR/png-3/
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sdrbee::io {

/// The longest text that is read from or written to a PNG.
inline constexpr size_t kMaxPngTextBytes = 16 << 20;

/// One chunk; the payload refers to the file's bytes.
struct PngChunk {
  std::string_view type;  // "IHDR", "tEXt"
  std::span<const std::byte> payload;
};

/// A keyword (1 to 79 Latin-1 characters) with its text in UTF-8.
struct PngText {
  std::string keyword;
  std::string text;
  bool operator==(const PngText&) const = default;
};

/// Whether the bytes start as every PNG file does.
bool is_png(std::span<const std::byte> file);

/// The number that the first four bytes hold, most significant first.
uint32_t read_png_number(std::span<const std::byte> bytes);

/// All chunks up to IEND, checked: lengths inside the file, CRCs, IHDR first, IEND last.
/// Throws InvalidRequest naming `origin`, the chunk and its offset. Views into `file`.
std::vector<PngChunk> read_png_chunks(std::span<const std::byte> file, const std::string& origin);

/// Appends one chunk with its length and CRC.
void append_png_chunk(std::vector<std::byte>& file, std::string_view type,
                      std::span<const std::byte> payload);

/// Appends a text as tEXt where Latin-1 has all its characters, else as iTXt (as Pillow does).
/// Throws InvalidRequest for a keyword that PNG forbids, text that is not UTF-8, has NUL
/// characters, or is too long.
void append_png_text(std::vector<std::byte>& file, const PngText& text);

/// The tEXt, zTXt and iTXt texts of a PNG in file order, as UTF-8.
/// Throws InvalidRequest for a damaged file or a text beyond the limit.
std::vector<PngText> read_png_texts(std::span<const std::byte> file, const std::string& origin);

/// The PNG with texts added behind its header; nothing else changes.
std::vector<std::byte> insert_png_texts(std::span<const std::byte> file,
                                        std::span<const PngText> texts, const std::string& origin);

}  // namespace sdrbee::io
