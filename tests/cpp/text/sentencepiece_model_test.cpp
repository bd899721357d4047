#include "sdrbee/text/sentencepiece_model.h"

#include <gtest/gtest.h>

#include "io/temporary_folder.h"
#include "sdrbee/core/error.h"
#include "sdrbee/text/charsmap.h"
#include "support/golden.h"

namespace sdrbee::text {
namespace {

using io::testing::expect_error;

std::string golden_bytes() {
  return io::testing::read_text(test::golden_path("unigram_tokenizer/spiece.model"));
}

TEST(SentencePieceModel, ReadsPiecesAndFlags) {
  const SentencePieceModel model = parse_sentencepiece_model(golden_bytes(), "spiece.model");
  ASSERT_GT(model.pieces.size(), 100U);
  EXPECT_EQ(model.pieces[1].first, "</s>");
  EXPECT_LT(model.pieces.back().second, 0);
  EXPECT_EQ(model.unknown, 2);
  EXPECT_EQ(model.model_type, 1);
  EXPECT_FALSE(model.byte_fallback);
  EXPECT_GT(model.charsmap.size(), 4U);
}

TEST(SentencePieceModel, NamesTheByteOfDamage) {
  const auto refused = [](const std::string& bytes, const char* where, const char* what) {
    expect_error<CheckpointError>([&] { parse_sentencepiece_model(bytes, "a.model"); }, "a.model",
                                  where, what);
  };
  refused(std::string("\x80", 1), "byte 1", "a number within the message");
  refused(std::string(11, '\x80'), "byte 10", "at most ten bytes");
  refused(std::string("\x0a\x05\x0a\x7fzz", 6), "byte 2", "bytes within the message");
  refused(std::string("\x0a\x04\x0a\x7fzz", 6), "byte 4", "bytes within the message");
  refused(std::string("\x0b", 1), "byte 1", "wire type 0, 1, 2 or 5");
  refused(std::string("\x02\x00", 2), "byte 1", "field number above 0");
  refused(std::string("\x08\x01", 2), "byte 2", "wire type 2 for the field 1");
  refused(std::string("\x0a\x02\x10\x01", 4), "byte 4", "wire type 5 for the field 2");
  refused(std::string("\x0a\x03\x15\x00\x00", 5), "byte 3", "a number within the message");
}

TEST(SentencePieceModel, EveryTruncationIsAnErrorOrAShorterModel) {
  const std::string whole = golden_bytes();
  for (size_t length = 0; length < whole.size(); ++length) {
    try {
      const auto model = parse_sentencepiece_model(whole.substr(0, length), "a.model");
      EXPECT_LE(model.pieces.size(), 400U);
    } catch (const CheckpointError&) {
    }
  }
}

Charsmap golden_charsmap() {
  return {parse_sentencepiece_model(golden_bytes(), "spiece.model").charsmap, "spiece.model"};
}

// The rules of tests/python/golden/make_unigram_tokenizer.py.
TEST(Charsmap, RewritesGraphemesAndCharacters) {
  const Charsmap map = golden_charsmap();
  EXPECT_EQ(map.normalize(U"cafe\u0301 \ufb01n\u00ad\u2460\u3000!"), U"caf\u00e9 fin1 !");
  EXPECT_EQ(map.normalize(U"\U0001f600\u0301"), U"\U0001f600\u0301");
  EXPECT_EQ(map.normalize(U""), U"");
  EXPECT_EQ(Charsmap().normalize(U"\ufb01"), U"\ufb01");
}

TEST(Charsmap, RefusesSizesThatDoNotFit) {
  for (const std::string& bytes :
       {std::string("\x01", 1), std::string("\x00\x00\x00\x00", 4),
        std::string("\x03\0\0\0abcd", 8), std::string("\x08\0\0\0abcd", 8),
        std::string("\xff\xff\xff\xff", 4)})
    expect_error<CheckpointError>([&] { Charsmap(bytes, "a.model"); }, "a.model",
                                  "precompiled_charsmap");
}

TEST(Charsmap, StaysWithinADamagedTable) {
  const std::string whole = parse_sentencepiece_model(golden_bytes(), "spiece.model").charsmap;
  for (size_t i = 4; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0xff);
    EXPECT_LT(Charsmap(damaged, "a.model").normalize(U"cafe\u0301 \ufb01\u00ad\u3000").size(),
              1000U);
  }
}

}  // namespace
}  // namespace sdrbee::text
