#include "sdrbee/io/png_text.h"

#include "hexadecimal.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/image_codec.h"
#include "sdrbee/io/json.h"
#include "support/golden.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::from_hexadecimal;

std::vector<std::byte> small_png(std::span<const PngText> texts = {}) {
  return encode_png({{1, 1}, 3, {1, 2, 3}}, texts);
}

std::vector<std::byte> png_with_chunk(std::string_view type, const std::string& payload) {
  std::vector<std::byte> chunk;
  append_png_chunk(chunk, type, std::as_bytes(std::span(payload.data(), payload.size())));
  std::vector<std::byte> file = small_png();
  file.insert(file.begin() + 33, chunk.begin(), chunk.end());
  return file;
}

// Written by Pillow: info.add_text, add_text(zip=True), add_itxt, add_itxt(zip=True).
TEST(ReadPngTexts, ReadsWhatPillowWrites) {
  const Json golden = read_json(test::golden_path("pictures.json"))["texts"];
  const auto texts = read_png_texts(from_hexadecimal(golden["file"]), "p.png");
  EXPECT_EQ(texts.size(), golden["texts"].size());
  for (const PngText& text : texts)
    EXPECT_EQ(golden["texts"].value(text.keyword, ""), text.text) << text.keyword;
}

TEST(AppendPngText, UsesLatin1WherePossible) {
  const std::vector<PngText> texts = {{"a", "café ÿ"}, {"b", "猫"}, {"c", ""}};
  const auto file = small_png(texts);
  std::vector<std::string> types;
  for (const PngChunk& chunk : read_png_chunks(file, "p")) types.emplace_back(chunk.type);
  EXPECT_EQ(types, (std::vector<std::string>{"IHDR", "tEXt", "iTXt", "tEXt", "IDAT", "IEND"}));
  EXPECT_EQ(read_png_chunks(file, "p")[1].payload.size(), 8U);  // one byte a character
  EXPECT_EQ(read_png_texts(file, "p"), texts);
}

TEST(AppendPngText, RefusesWhatPngForbids) {
  const auto refuse = [](const PngText& text) {
    EXPECT_THROW(small_png(std::vector<PngText>{text}), InvalidRequest) << text.keyword;
  };
  refuse({"", "x"});
  refuse({" a", "x"});
  refuse({"a ", "x"});
  refuse({"a  b", "x"});
  refuse({std::string(80, 'k'), "x"});
  refuse({"猫", "x"});
  refuse({"a\n", "x"});
  refuse({"a", std::string("x\0y", 3)});
  refuse({"a", "\xff"});
  refuse({"a", "\xed\xa0\x80"});
  refuse({"a", std::string(kMaxPngTextBytes + 1, 'x')});
  EXPECT_NO_THROW(small_png(std::vector<PngText>{{std::string(79, 'k'), "x"}}));
}

TEST(InsertPngTexts, ChangesNothingElse) {
  const std::vector<PngText> texts = {{"recipe", "{}"}};
  EXPECT_EQ(insert_png_texts(small_png(), texts, "p"), small_png(texts));
  EXPECT_THROW(insert_png_texts({}, texts, "p"), InvalidRequest);
}

TEST(ReadPngChunks, NamesWhatIsDamaged) {
  const std::vector<std::byte> good = small_png();
  const auto refuse = [](const std::vector<std::byte>& file, const char* part) {
    expect_error<InvalidRequest>([&] { read_png_chunks(file, "p.png"); }, "[p.png]", part);
  };
  std::vector<std::byte> file = good;
  file[0] = std::byte{0};
  refuse(file, "not a PNG");
  file = good;
  file[33] = std::byte{0xff};  // the length of the second chunk
  refuse(file, "offset 33");
  file = good;
  file.resize(40);
  refuse(file, "truncated");
  file = good;
  file[20] ^= std::byte{1};
  refuse(file, "checksum");
  file.assign(good.begin(), good.begin() + 8);
  file.insert(file.end(), good.begin() + 33, good.end());
  refuse(file, "IHDR");
}

TEST(ReadPngTexts, RefusesDamagedAndHugeTexts) {
  const auto refuse = [](const std::vector<std::byte>& file, const char* part) {
    expect_error<InvalidRequest>([&] { read_png_texts(file, "p.png"); }, "[p.png]", part);
  };
  refuse(png_with_chunk("tEXt", "no separator"), "damaged");
  refuse(png_with_chunk("zTXt", std::string("k\0", 2)), "damaged");
  refuse(png_with_chunk("zTXt", std::string("k\0\1x", 4)), "damaged");
  refuse(png_with_chunk("zTXt", std::string("k\0\0not zlib", 11)), "damaged");
  refuse(png_with_chunk("iTXt", std::string("k\0\0\0en", 6)), "damaged");
  refuse(png_with_chunk("iTXt", std::string("k\0\0\0\0\0\xff", 7)), "damaged");
  refuse(png_with_chunk("iTXt", std::string("k\0\1\0\0\0", 6)), "damaged");
  EXPECT_NO_THROW(read_png_texts(png_with_chunk("tEXt", std::string("k\0", 2)), "p"));
}

}  // namespace
}  // namespace sdrbee::io
