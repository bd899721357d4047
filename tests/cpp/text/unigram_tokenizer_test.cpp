#include "sdrbee/text/unigram_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/hexadecimal.h"
#include "io/temporary_folder.h"
#include "sdrbee/core/error.h"
#include "support/golden.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::testing::expect_error;
using io::testing::TemporaryFolder;
using io::testing::write_text;
using nlohmann::json;

const fs::path kGolden = test::golden_path("unigram_tokenizer");

// tests/python/golden/make_unigram_tokenizer.py wrote the golden with transformers 5.23.0:
//   ids = tokenizer(text, add_special_tokens=False).input_ids; text = tokenizer.decode(ids)
//   row = tokenizer(text, padding="max_length", max_length=12, truncation=True).input_ids
void expect_golden(const fs::path& vocabulary) {
  const UnigramTokenizer tokenizer(read_unigram_vocabulary(vocabulary));
  std::ifstream file(kGolden / "golden.json");
  const auto rows = json::parse(file);
  EXPECT_GT(rows.size(), 150U);
  for (const auto& row : rows) {
    const std::string text = io::testing::string_from_hexadecimal(row["utf8"]);
    const auto ids = row["ids"].get<std::vector<int64_t>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << row["text"];
    EXPECT_EQ(tokenizer.encode_row(text, 12).ids, row["row"].get<std::vector<int64_t>>());
    EXPECT_EQ(tokenizer.decode(ids), row["text"].get<std::string>());
  }
}

TEST(UnigramTokenizer, EqualsHuggingFacesWithTokenizerJson) { expect_golden(kGolden); }

TEST(UnigramTokenizer, EqualsHuggingFacesWithPieceModel) {
  expect_golden(kGolden / "spiece.model");
}

UnigramVocabulary tiny_vocabulary() {
  UnigramVocabulary vocabulary;
  vocabulary.pieces = {{"<pad>", 0},      {"</s>", 0}, {"<unk>", 0}, {"\u2581", -3},
                       {"\u2581a", -2},   {"b", -4},   {"ab", -1},   {"\u2581ab", -7},
                       {"\u2581abb", -9}, {"ab", -2.5}};
  return vocabulary;
}

TEST(UnigramTokenizer, TakesTheMostProbableCut) {
  const UnigramTokenizer tokenizer(tiny_vocabulary());
  // _a b = -6, _ ab = -5.5 (the later of two pieces with one text counts), _ab = -7
  EXPECT_EQ(tokenizer.encode("ab"), (std::vector<int64_t>{3, 9}));
  // _a b b = -10, _ ab b = -9.5, _ab b = -11, _abb = -9
  EXPECT_EQ(tokenizer.encode(" abb\n"), (std::vector<int64_t>{8}));
}

TEST(UnigramTokenizer, JoinsUnknownCharacters) {
  const UnigramTokenizer tokenizer(tiny_vocabulary());
  EXPECT_EQ(tokenizer.encode("xyz"), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(tokenizer.encode("x b"), (std::vector<int64_t>{3, 2, 3, 5}));
}

TEST(UnigramTokenizer, UnknownCharactersAreFarLessProbableThanTheRarestPiece) {
  UnigramVocabulary vocabulary = tiny_vocabulary();
  vocabulary.pieces.insert(vocabulary.pieces.end(), {{"xb", -9}, {"c", -9}, {"bc", -1}});
  const UnigramTokenizer tokenizer(std::move(vocabulary));
  // xb c = -18, x bc = -20, as an unknown character has 10 less than the rarest piece
  EXPECT_EQ(tokenizer.encode("xbc"), (std::vector<int64_t>{3, 10, 11}));
}

TEST(UnigramTokenizer, SpellsUnknownCharactersWhereItHasAllTheirBytes) {
  UnigramVocabulary vocabulary = tiny_vocabulary();
  vocabulary.byte_fallback = true;
  vocabulary.pieces.insert(vocabulary.pieces.end(), {{"<0xC3>", 0}, {"<0xA9>", 0}});
  const UnigramTokenizer tokenizer(std::move(vocabulary));
  EXPECT_EQ(tokenizer.encode("\u00e9"), (std::vector<int64_t>{3, 10, 11}));
  EXPECT_EQ(tokenizer.encode("\u00e8"), (std::vector<int64_t>{3, 2}));
}

TEST(UnigramTokenizer, KeepsTheEndMarkOfATruncatedRow) {
  const UnigramTokenizer tokenizer(tiny_vocabulary());
  const TokenRow cut = tokenizer.encode_row("b b b", 4);
  EXPECT_EQ(cut.ids, (std::vector<int64_t>{3, 5, 3, 1}));
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.truncated_text, "b b");
  const TokenRow whole = tokenizer.encode_row("b", 4);
  EXPECT_EQ(whole.ids, (std::vector<int64_t>{3, 5, 1, 0}));
  EXPECT_FALSE(whole.truncated);
  EXPECT_EQ(tokenizer.encode_row("b", 1).ids, (std::vector<int64_t>{1}));
}

/// The golden tokenizer.json with one value replaced.
json golden_json(const std::string& pointer, const json& value) {
  std::ifstream file(kGolden / "tokenizer.json");
  json tokenizer = json::parse(file);
  tokenizer[json::json_pointer(pointer)] = value;
  return tokenizer;
}

template <typename ErrorType>
void expect_refused(const json& tokenizer, const std::string& part) {
  const TemporaryFolder folder;
  write_text(folder / "tokenizer.json", tokenizer.dump());
  expect_error<ErrorType>([&] { read_unigram_vocabulary(folder.path()); }, "tokenizer.json", part);
}

TEST(UnigramVocabulary, APieceModelAloneHasT5s100ExtraIds) {
  const TemporaryFolder folder;
  fs::copy(kGolden / "spiece.model", folder / "spiece.model");
  const UnigramTokenizer tokenizer(read_unigram_vocabulary(folder.path()));
  // The last one comes first.
  const int64_t first = tokenizer.encode("<extra_id_99>").front();
  EXPECT_EQ(tokenizer.encode("<extra_id_0>").front(), tokenizer.max_id());
  EXPECT_EQ(tokenizer.max_id(), first + 99);
}

TEST(UnigramVocabulary, NamesWhatIsWrongInTokenizerJson) {
  expect_refused<CheckpointError>(json::array(), "expected an object");
  expect_refused<CheckpointError>(golden_json("/model", nullptr), "'model'");
  expect_refused<CheckpointError>(golden_json("/model/vocab", json::array()), "pieces");
  expect_refused<CheckpointError>(golden_json("/model/vocab/5", {"x"}), "piece 5");
  expect_refused<CheckpointError>(golden_json("/model/vocab/5", {"x", "1"}), "piece 5");
  expect_refused<CheckpointError>(golden_json("/model/vocab/5", {std::string(600, 'x'), -1}),
                                  "piece 5");
  expect_refused<CheckpointError>(golden_json("/model/unk_id", nullptr), "unk_id");
  expect_refused<CheckpointError>(golden_json("/model/unk_id", 1'000'000), "1000000");
  expect_refused<CheckpointError>(golden_json("/model/byte_fallback", 1), "byte_fallback");
  expect_refused<CheckpointError>(golden_json("/added_tokens", 3), "added_tokens");
  expect_refused<CheckpointError>(golden_json("/added_tokens/0", {{"content", 3}}), "added_tokens");
  expect_refused<CheckpointError>(golden_json("/normalizer/precompiled_charsmap", "?"), "base64");
  expect_refused<CheckpointError>(golden_json("/normalizer/precompiled_charsmap", "AAAA"),
                                  "precompiled_charsmap");
}

TEST(UnigramVocabulary, RefusesOtherTokenizers) {
  expect_refused<UnsupportedModel>(golden_json("/model/type", "WordPiece"), "WordPiece");
  expect_refused<UnsupportedModel>(golden_json("/normalizer/type", "NFKC"), "NFKC");
  expect_refused<UnsupportedModel>(golden_json("/pre_tokenizer", {{"type", "ByteLevel"}}),
                                   "ByteLevel");
}

TEST(UnigramVocabulary, IsLookedForInTheFoldersOfBothFamilies) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "empty");
  write_text(folder / "clip/tokenizer.json", R"({"model": {"type": "BPE"}})");
  fs::create_directories(folder / "flux/tokenizer_2");
  fs::copy(kGolden / "spiece.model", folder / "flux/tokenizer_2/spiece.model");
  const std::vector<fs::path> places = {folder / "empty", folder / "clip", folder / "flux"};
  EXPECT_EQ(find_unigram_vocabulary("model.safetensors", places),
            folder / "flux/tokenizer_2/spiece.model");
  expect_error<CheckpointError>(
      [&] { find_unigram_vocabulary("model.safetensors", std::span(places).first(2)); },
      "model.safetensors", places[1].string(), "SDRBEE_T5_VOCABULARY");
}

}  // namespace
}  // namespace sdrbee::text
