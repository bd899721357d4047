#include "sdrbee/io/png_text.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>

#include "sdrbee/core/error.h"
#include "sdrbee/io/inflate.h"
#include "sdrbee/io/utf8.h"

namespace sdrbee::io {
namespace {

constexpr std::array<uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr size_t kMaxChunkBytes = 0x7fffffff;
constexpr size_t kMaxKeywordBytes = 79;

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void append(std::vector<std::byte>& file, std::span<const std::byte> bytes) {
  file.insert(file.end(), bytes.begin(), bytes.end());
}

void append_big_endian(std::vector<std::byte>& file, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    file.push_back(static_cast<std::byte>(value >> shift));
}

uint32_t crc(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string from_latin1(std::string_view text) {
  std::string utf8;
  for (const char character : text) {
    const auto code = static_cast<unsigned char>(character);
    if (code < 0x80) {
      utf8 += character;
    } else {
      utf8 += static_cast<char>(0xc0 | code >> 6);
      utf8 += static_cast<char>(0x80 | (code & 0x3f));
    }
  }
  return utf8;
}

/// Valid UTF-8 as Latin-1; nothing when a character is not in it.
std::optional<std::string> to_latin1(std::string_view text) {
  std::string latin1;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      latin1 += text[i];
    } else if (first <= 0xc3) {
      latin1 +=
          static_cast<char>((first & 3) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f));
    } else {
      return std::nullopt;
    }
  }
  return latin1;
}

bool is_keyword(std::string_view keyword) {
  const auto printable = [](char character) {
    const auto code = static_cast<unsigned char>(character);
    return (code >= 32 && code <= 126) || code >= 161;
  };
  return !keyword.empty() && keyword.size() <= kMaxKeywordBytes && keyword.front() != ' ' &&
         keyword.back() != ' ' && keyword.find("  ") == std::string_view::npos &&
         std::all_of(keyword.begin(), keyword.end(), printable);
}

/// Cuts a payload at its NUL bytes.
class Fields {
 public:
  Fields(std::string_view payload, const std::string& origin) : rest_(payload), origin_(origin) {}

  std::string_view until_nul() {
    const size_t end = rest_.find('\0');
    if (end == std::string_view::npos) fail();
    const std::string_view field = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return field;
  }
  int byte() {
    if (rest_.empty()) fail();
    const int value = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view rest() const { return rest_; }
  [[noreturn]] void fail() const {
    throw InvalidRequest(message("[", origin_, "] a text chunk of the PNG is damaged"));
  }

 private:
  std::string_view rest_;
  const std::string& origin_;
};

PngText read_text(const PngChunk& chunk, const std::string& origin) {
  Fields fields(as_text(chunk.payload), origin);
  PngText text = {from_latin1(fields.until_nul()), {}};
  bool compressed = chunk.type == "zTXt";
  if (chunk.type == "iTXt") {
    compressed = fields.byte() != 0;
    if (fields.byte() != 0) fields.fail();  // the only compression method is 0
    fields.until_nul();                     // language
    fields.until_nul();                     // keyword in that language
  } else if (compressed && fields.byte() != 0) {
    fields.fail();
  }
  text.text = compressed ? inflate(as_bytes(fields.rest()), kMaxPngTextBytes, origin)
                         : std::string(fields.rest());
  if (chunk.type != "iTXt") text.text = from_latin1(text.text);
  if (!is_utf8(text.text)) fields.fail();
  return text;
}

}  // namespace

uint32_t read_png_number(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (const std::byte byte : bytes.first(4)) value = value << 8 | std::to_integer<uint32_t>(byte);
  return value;
}

bool is_png(std::span<const std::byte> file) {
  return file.size() >= kSignature.size() &&
         std::equal(kSignature.begin(), kSignature.end(), file.begin(),
                    [](uint8_t a, std::byte b) { return std::byte{a} == b; });
}

std::vector<PngChunk> read_png_chunks(std::span<const std::byte> file, const std::string& origin) {
  if (!is_png(file)) throw InvalidRequest(message("[", origin, "] not a PNG file"));
  std::vector<PngChunk> chunks;
  size_t position = kSignature.size();
  while (chunks.empty() || chunks.back().type != "IEND") {
    const auto fail = [&](const char* reason) {
      throw InvalidRequest(message("[", origin, "] PNG chunk at offset ", position, ": ", reason));
    };
    const auto rest = file.subspan(position);
    if (rest.size() < 12) fail("the file is truncated");
    const size_t length = read_png_number(rest);
    if (length > kMaxChunkBytes || length > rest.size() - 12) fail("its length is past the file");
    if (crc(rest.subspan(4, length + 4)) != read_png_number(rest.subspan(8 + length)))
      fail("its checksum is wrong");
    chunks.push_back({as_text(rest.subspan(4, 4)), rest.subspan(8, length)});
    if (chunks.size() == 1 && (chunks[0].type != "IHDR" || length != 13))
      fail("expected the header IHDR first");
    position += 12 + length;
  }
  return chunks;
}

void append_png_chunk(std::vector<std::byte>& file, std::string_view type,
                      std::span<const std::byte> payload) {
  append_big_endian(file, static_cast<uint32_t>(payload.size()));
  const size_t start = file.size();
  append(file, as_bytes(type));
  append(file, payload);
  append_big_endian(file, crc(std::span<const std::byte>(file).subspan(start)));
}

void append_png_text(std::vector<std::byte>& file, const PngText& text) {
  const auto keyword = is_utf8(text.keyword) ? to_latin1(text.keyword) : std::nullopt;
  if (!keyword || !is_keyword(*keyword))
    throw InvalidRequest(message("[png_text] expected a keyword of 1 to 79 printable Latin-1 ",
                                 "characters but got '", text.keyword, "'"));
  if (!is_utf8(text.text) || text.text.find('\0') != std::string::npos ||
      text.text.size() > kMaxPngTextBytes)
    throw InvalidRequest(message("[png_text] the text of '", text.keyword, "' is not UTF-8, has ",
                                 "NUL characters or is over ", kMaxPngTextBytes, " bytes"));
  const auto latin1 = to_latin1(text.text);
  // iTXt: no compression, its method, no language, no translated keyword.
  const std::string payload =
      latin1 ? *keyword + '\0' + *latin1 : *keyword + std::string(5, '\0') + text.text;
  append_png_chunk(file, latin1 ? "tEXt" : "iTXt", as_bytes(payload));
}

std::vector<PngText> read_png_texts(std::span<const std::byte> file, const std::string& origin) {
  std::vector<PngText> texts;
  size_t total = 0;
  for (const PngChunk& chunk : read_png_chunks(file, origin)) {
    if (chunk.type != "tEXt" && chunk.type != "zTXt" && chunk.type != "iTXt") continue;
    texts.push_back(read_text(chunk, origin));
    total += texts.back().text.size();
    if (total > 2 * kMaxPngTextBytes)
      throw InvalidRequest(message("[", origin, "] the PNG's texts are too long"));
  }
  return texts;
}

std::vector<std::byte> insert_png_texts(std::span<const std::byte> file,
                                        std::span<const PngText> texts, const std::string& origin) {
  read_png_chunks(file, origin);
  constexpr size_t kHeaderEnd = 8 + 12 + 13;
  std::vector<std::byte> result(file.begin(), file.begin() + kHeaderEnd);
  for (const PngText& text : texts) append_png_text(result, text);
  append(result, file.subspan(kHeaderEnd));
  return result;
}

}  // namespace sdrbee::io
