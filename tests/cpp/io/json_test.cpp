#include "sdrbee/io/json.h"

#include "sdrbee/core/error.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;
using testing::write_text;

TEST(ParseJson, NamesOriginAndByteOffset) {
  expect_error<CheckpointError>([] { parse_json("{\"a\": 1,}", "m/config.json"); },
                                "[m/config.json]", "at byte 9");
}

TEST(ParseJson, RefusesDuplicateKeys) {
  expect_error<CheckpointError>([] { parse_json(R"({"a": {"b": 1, "b": 1}})", "f"); },
                                "duplicate JSON key 'b'");
  EXPECT_NO_THROW(parse_json(R"({"a": {"b": 1}, "b": [{"b": 2}, {"b": 3}]})", "f"));
}

TEST(ParseJson, RefusesDeepNestingWithoutOverflow) {
  const std::string deep(10'000'000, '[');
  expect_error<CheckpointError>([&] { parse_json(deep, "f"); }, "nested deeper than 64");
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "f"));
}

TEST(ParseJson, RefusesInvalidUtf8AndNumbersOutOfRange) {
  expect_error<CheckpointError>([] { parse_json("{\"a\": \"\xff\"}", "f"); }, "[f]");
  expect_error<CheckpointError>([] { parse_json("[1e999]", "f"); }, "[f]");
}

TEST(ReadJson, RefusesAFileOverTheLimit) {
  const TemporaryFolder folder;
  write_text(folder / "c.json", "[1, 2]");
  EXPECT_EQ(read_json(folder / "c.json").size(), 2U);
  expect_error<CheckpointError>([&] { read_json(folder / "c.json", 5); }, "c.json", "at most 5");
}

TEST(ReadJson, TakesPythonsNonFiniteNumbersAsNull) {
  const TemporaryFolder folder;
  write_text(folder / "c.json",
             R"({"lambda": -Infinity, "up": Infinity, "none": NaN, "text": "-\"Infinity NaN\\"})");
  const Json json = read_json(folder / "c.json");
  EXPECT_TRUE(json["lambda"].is_null() && json["up"].is_null() && json["none"].is_null());
  EXPECT_EQ(json["text"], R"(-"Infinity NaN\)");
}

TEST(Config, GivesValuesAndFallbacks) {
  const Config config(Json::parse(R"({"n": 3, "x": 0.5, "b": true, "s": "t", "null": null,
                                      "list": [1, 2], "names": ["a", "b"], "o": {"n": 4}})"));
  EXPECT_EQ(config.int64_or("n", 1), 3);
  EXPECT_EQ(config.int64_or("none", 1), 1);
  EXPECT_EQ(config.int64_or("null", 1), 1);
  EXPECT_EQ(config.double_or("x", 1), 0.5);
  EXPECT_EQ(config.double_or("n", 1), 3.0);
  EXPECT_TRUE(config.bool_or("b", false));
  EXPECT_EQ(config.string_or("s", ""), "t");
  EXPECT_EQ(config.int64s_or("list", {}), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(config.int64s_or("n", {}), (std::vector<int64_t>{3}));
  EXPECT_EQ(config.int64s_or("none", {7, 8}), (std::vector<int64_t>{7, 8}));
  EXPECT_EQ(config.strings_or("names", {}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.bools_or("b", {}), (std::vector<bool>{true}));
  EXPECT_EQ(config.doubles_or("list", {}), (std::vector<double>{1, 2}));
  EXPECT_EQ(config.object_or_empty("o").int64_or("n", 0), 4);
  EXPECT_FALSE(config.object_or_empty("none").has("n"));
  EXPECT_TRUE(config.has("n"));
  EXPECT_FALSE(config.has("null"));
}

TEST(Config, ReadsPythonsInfinitiesAsNull) {
  const TemporaryFolder folder;
  write_text(folder / "scheduler_config.json",
             R"({"a": -Infinity, "b": [Infinity], "c": "-Infinity \" Infinity", "d": 1})");
  const Config config = Config::read(folder / "scheduler_config.json");
  EXPECT_FALSE(config.has("a"));
  EXPECT_TRUE(config.json().at("b").at(0).is_null());
  EXPECT_EQ(config.string_or("c", ""), "-Infinity \" Infinity");
  EXPECT_EQ(config.int64_or("d", 0), 1);
}

TEST(Config, NamesFileKeyAndValueOfAWrongType) {
  const Config config(Json::parse(R"({"n": "3", "f": 1.5, "l": [1, 2.5],
                                      "big": 18446744073709551615})"),
                      "unet/config.json");
  expect_error<CheckpointError>([&] { config.int64_or("n", 1); }, "[unet/config.json]", "'n'",
                                "\"3\"");
  expect_error<CheckpointError>([&] { config.int64_or("f", 1); }, "'f'", "1.5");
  expect_error<CheckpointError>([&] { config.int64_or("l", 1); }, "'l'");
  expect_error<CheckpointError>([&] { config.int64s_or("l", {}); }, "'l'", "[1,2.5]");
  expect_error<CheckpointError>([&] { config.int64_or("big", 1); }, "'big'");
  expect_error<CheckpointError>([&] { config.bool_or("n", true); }, "'n'");
  expect_error<CheckpointError>([&] { config.double_or("n", 1); }, "'n'");
  expect_error<CheckpointError>([&] { config.string_or("f", ""); }, "'f'");
  expect_error<CheckpointError>([&] { config.object_or_empty("f"); }, "'f'");
}

TEST(Config, RefusesAnythingButAnObject) {
  expect_error<CheckpointError>([] { Config(Json::parse("[1]"), "c.json"); }, "[c.json]",
                                "expected a JSON object");
}

}  // namespace
}  // namespace sdrbee::io
