#include "sdrbee/text/clip_vocabulary.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

#include "sdrbee/core/error.h"
#include "sdrbee/text/clip_tokenizer.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;

// A folder that lives as long as the test.
class ClipVocabularyFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  void write_gzip(const std::string& name, const std::string& text) {
    gzFile file = gzopen((folder_ / name).c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
  }

  void expect_error(const fs::path& path, const std::vector<std::string>& parts) {
    try {
      read_clip_vocabulary(path);
      FAIL() << "no error";
    } catch (const CheckpointError& error) {
      for (const auto& part : parts)
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }

  fs::path folder_;
};

constexpr const char* kVocab =
    R"({"a": 0, "b</w>": 1, "ab</w>": 2, "!": 3, "<|startoftext|>": 4, "<|endoftext|>": 5})";

TEST_F(ClipVocabularyFiles, ReadsVocabAndMerges) {
  write("vocab.json", kVocab);
  write("merges.txt", "#version: 0.2\r\na b</w>\r\n");
  const ClipVocabulary vocabulary = read_clip_vocabulary(folder_);
  EXPECT_EQ(vocabulary.ids.at("ab</w>"), 2);
  ASSERT_EQ(vocabulary.merges.size(), 1U);
  EXPECT_EQ(vocabulary.merges[0].second, "b</w>");
  EXPECT_EQ(vocabulary.bos, 4);
  EXPECT_EQ(vocabulary.eos, 5);
  EXPECT_EQ(vocabulary.pad, 5);
  EXPECT_EQ(vocabulary.max_length, 77);
  EXPECT_EQ(read_clip_vocabulary(folder_ / "vocab.json").ids, vocabulary.ids);
}

TEST_F(ClipVocabularyFiles, TakesSpecialTokensAndLengthFromTheConfiguration) {
  write("vocab.json", kVocab);
  write("merges.txt", "");
  write("tokenizer_config.json", R"({"pad_token": "!", "model_max_length": 20})");
  const ClipVocabulary vocabulary = read_clip_vocabulary(folder_);
  EXPECT_EQ(vocabulary.pad, 3);
  EXPECT_EQ(vocabulary.max_length, 20);
  EXPECT_EQ(vocabulary.added_tokens.size(), 3U);
}

TEST_F(ClipVocabularyFiles, SpecialTokensMapWinsOverTheConfiguration) {
  write("vocab.json", kVocab);
  write("merges.txt", "");
  write("tokenizer_config.json", R"({"pad_token": "a", "model_max_length": 1e30})");
  write("special_tokens_map.json", R"({"pad_token": {"content": "!", "normalized": true}})");
  const ClipVocabulary vocabulary = read_clip_vocabulary(folder_);
  EXPECT_EQ(vocabulary.pad, 3);
  EXPECT_EQ(vocabulary.max_length, 77);
  EXPECT_TRUE(vocabulary.added_tokens.back().normalized);
}

TEST_F(ClipVocabularyFiles, SetsAPaddingTokenForModelsWhoseFileCannotTell) {
  write("vocab.json", kVocab);
  write("merges.txt", "");
  ClipVocabulary vocabulary = read_clip_vocabulary(folder_);
  set_pad_token(vocabulary, "!");
  EXPECT_EQ(vocabulary.pad, 3);
  EXPECT_EQ(ClipTokenizer(vocabulary).encode("!!"), (std::vector<int64_t>{3, 3}));
}

TEST_F(ClipVocabularyFiles, ReadsOpenAisFile) {
  write_gzip("bpe_simple_vocab_16e6.txt.gz", "title#version: 0.2\na b</w>\nt h\nth e</w>\n");
  const ClipVocabulary vocabulary = read_clip_vocabulary(folder_);
  EXPECT_EQ(vocabulary.ids.size(), 512U + 3 + 2);
  EXPECT_EQ(vocabulary.ids.at("!"), 0);
  EXPECT_EQ(vocabulary.ids.at("the</w>"), 514);
  EXPECT_EQ(vocabulary.bos, 515);
  EXPECT_EQ(vocabulary.eos, 516);
  EXPECT_EQ(ClipTokenizer(vocabulary).encode("The ab\n"), (std::vector<int64_t>{514, 512}));
}

TEST_F(ClipVocabularyFiles, NamesFileAndLineOfABadRule) {
  write("vocab.json", kVocab);
  write("merges.txt", "#version: 0.2\na b</w>\na b c\n");
  expect_error(folder_, {"merges.txt", "line 3", "a b c"});
  write("merges.txt", "a b</w>\n\na b\n");
  expect_error(folder_, {"merges.txt", "line 2"});
}

TEST_F(ClipVocabularyFiles, RejectsDamagedFiles) {
  expect_error(folder_, {"vocab.json", "bpe_simple_vocab_16e6.txt.gz"});
  write("vocab.json", R"({"a": -1})");
  expect_error(folder_, {"vocab.json", "'a'", "-1"});
  write("vocab.json", R"({"a": "x"})");
  expect_error(folder_, {"vocab.json", "'a'"});
  write("vocab.json", R"(["a"])");
  expect_error(folder_, {"vocab.json", "map of tokens"});
  write("vocab.json", R"({"a": 1)");
  expect_error(folder_, {"vocab.json"});
  write("vocab.json", kVocab);
  expect_error(folder_, {"vocab.json", "merges.txt"});
  write("merges.txt", "");
  write("tokenizer_config.json", R"({"bos_token": 3})");
  expect_error(folder_, {"tokenizer_config.json", "bos_token"});
  write("tokenizer_config.json", R"({"model_max_length": "x"})");
  expect_error(folder_, {"tokenizer_config.json", "model_max_length"});
  write("tokenizer.json", R"({"model": {"vocab": {"a": 1}, "merges": [["a"]]}})");
  expect_error(folder_, {"tokenizer.json", "rule 1"});
  write("tokenizer.json", R"({"added_tokens": []})");
  expect_error(folder_, {"tokenizer.json", "model"});
}

TEST_F(ClipVocabularyFiles, RefusesTokenizersOfOtherModels) {
  write("tokenizer.json", R"({"model": {"type": "Unigram", "vocab": {}, "merges": []}})");
  EXPECT_THROW(read_clip_vocabulary(folder_), UnsupportedModel);
}

TEST_F(ClipVocabularyFiles, RefusesDamagedAndExplodingGzip) {
  write_gzip("bpe_simple_vocab_16e6.txt.gz", "title\na b</w>\n");
  const fs::path file = folder_ / "bpe_simple_vocab_16e6.txt.gz";
  fs::resize_file(file, fs::file_size(file) - 4);
  expect_error(folder_, {"bpe_simple_vocab_16e6.txt.gz", "damaged"});
  write("bpe_simple_vocab_16e6.txt.gz", "not gzip");
  expect_error(folder_, {"bpe_simple_vocab_16e6.txt.gz", "damaged"});
  write_gzip("bpe_simple_vocab_16e6.txt.gz", std::string(65 << 20, 'a'));
  expect_error(folder_, {"bpe_simple_vocab_16e6.txt.gz", "more than"});
}

TEST_F(ClipVocabularyFiles, SearchesCandidatesInOrder) {
  write("second/tokenizer/vocab.json", kVocab);
  write("third/tokenizer.json", "{}");
  const std::vector<fs::path> candidates{folder_ / "first", folder_ / "second", folder_ / "third"};
  EXPECT_EQ(find_clip_vocabulary("model.safetensors", candidates),
            folder_ / "second" / "tokenizer");
}

TEST_F(ClipVocabularyFiles, NamesTheWaysWhenNothingIsFound) {
  try {
    const std::vector<fs::path> candidates{folder_ / "first"};
    find_clip_vocabulary("model.safetensors", candidates);
    FAIL();
  } catch (const CheckpointError& error) {
    for (const std::string part : {"model.safetensors", "/first", "SDRBEE_CLIP_VOCABULARY",
                                   "tokenizer.json", "Hugging Face cache", "open_clip_torch"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace sdrbee::text
