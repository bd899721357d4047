// Vocabularies of T5 with a flipped bit or without their end: a typed error, or a tokenizer whose
// ids are its own. What the pieces say no check can know.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "io/temporary_folder.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/json.h"
#include "sdrbee/text/unigram_tokenizer.h"
#include "support/golden.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::testing::read_text;
using io::testing::TemporaryFolder;
using io::testing::write_text;

constexpr const char* kText = "A red circle, left of <extra_id_0> the blue \xE2\x85\xA7 square";

bool refused(const fs::path& folder) {
  try {
    const UnigramTokenizer tokenizer(read_unigram_vocabulary(folder));
    for (const int64_t id : tokenizer.encode_row(kText, 40).ids) {
      EXPECT_GE(id, 0);
      EXPECT_LE(id, tokenizer.max_id());
    }
  } catch (const CheckpointError&) {
    return true;
  } catch (const UnsupportedModel&) {
    return true;
  }
  return false;
}

void damage(const std::string& name, const std::string& good) {
  const TemporaryFolder folder;
  write_text(folder / name, good);
  ASSERT_FALSE(refused(folder.path()));
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    const auto put = [&](int byte) {
      std::fstream(folder / name, std::ios::in | std::ios::out | std::ios::binary)
          .seekp(static_cast<std::streamoff>(bit / 8))
          .put(static_cast<char>(byte));
    };
    put(good[bit / 8] ^ (1 << (bit % 8)));
    refused(folder.path());
    put(good[bit / 8]);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "bit " << bit;
  }
  for (size_t length = 0; length < good.size(); length += 64) {
    write_text(folder / name, good.substr(0, length));
    refused(folder.path());
    ASSERT_FALSE(::testing::Test::HasFailure()) << "length " << length;
  }
}

TEST(DamagedVocabulary, AsPieceModel) {
  damage("spiece.model", read_text(test::golden_path("unigram_tokenizer/spiece.model")));
}

TEST(DamagedVocabulary, AsTokenizerJson) {
  io::Json tokenizer =
      io::Json::parse(read_text(test::golden_path("unigram_tokenizer/tokenizer.json")));
  io::Json& pieces = tokenizer["model"]["vocab"];
  pieces.erase(pieces.begin() + 20, pieces.end());
  tokenizer["normalizer"] = nullptr;
  io::Json& added = tokenizer["added_tokens"];
  added.erase(added.begin() + 3, added.end());
  damage("tokenizer.json", tokenizer.dump());
}

}  // namespace
}  // namespace sdrbee::text
