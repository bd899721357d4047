#include "sdrbee/io/gguf_header.h"

#include "gguf_bytes.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "support/golden.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::GgufBytes;

GgufHeader parse(const GgufBytes& file) { return parse_gguf_header(file.content(), "m.gguf"); }

template <typename... Parts>
void expect_refused(const GgufBytes& file, const Parts&... parts) {
  expect_error<CheckpointError>([&] { parse(file); }, "m.gguf", parts...);
}

/// A file with one tensor `w` of this description, and data for it.
GgufBytes with_tensor(const std::vector<uint64_t>& extents, uint32_t type, uint64_t offset,
                      size_t data_bytes) {
  return GgufBytes().counts(1, 0).tensor("w", extents, type, offset).data(data_bytes);
}

/// A file with one metadata entry, whose type and value are `bytes`.
GgufBytes with_metadata(const std::string& key, const GgufBytes& value) {
  return GgufBytes().counts(0, 1).text(key).raw(value);
}

template <typename... Numbers>
GgufBytes bytes(Numbers... numbers) {
  GgufBytes bytes = GgufBytes::nothing();
  (bytes.number(numbers), ...);
  return bytes;
}

TEST(GgufHeader, HoldsMetadataOfEveryType) {
  const std::string file = read_file(test::golden_path("gguf_types.gguf"), 1 << 20);
  const GgufMetadata metadata = parse_gguf_header(file, "m.gguf").metadata;
  const GgufMetadata expected = {
      {"general.architecture", std::string("test")},
      {"test.uint8", uint8_t{200}},
      {"test.int8", int8_t{-100}},
      {"test.uint16", uint16_t{60000}},
      {"test.int16", int16_t{-30000}},
      {"test.uint32", uint32_t{4000000000}},
      {"test.int32", int32_t{-2000000000}},
      {"test.float32", 0.1F},
      {"test.bool", true},
      {"test.string", std::string("größer als 日本")},
      {"test.uint64", uint64_t{1} << 63},
      {"test.int64", -(int64_t{1} << 62)},
      {"test.float64", 0.1},
      {"test.numbers", GgufList(std::vector<int32_t>{1, -2, 3})},
      {"test.flags", GgufList(std::vector<bool>{true, false, true})},
      {"test.texts", GgufList(std::vector<std::string>{"a", "", "ü"})},
      {"comfy.gguf.orig_shape.conv.weight", GgufList(std::vector<int32_t>{8, 4, 3, 3})},
  };
  EXPECT_EQ(metadata, expected);
  EXPECT_EQ(find_gguf_text(metadata, "general.architecture"), "test");
  EXPECT_FALSE(find_gguf_text(metadata, "test.uint8").has_value());
  EXPECT_FALSE(find_gguf_text(metadata, "test.missing").has_value());
}

TEST(GgufHeader, ReadsVersionsTwoAndThree) {
  for (const uint32_t version : {2U, 3U})
    EXPECT_EQ(parse(GgufBytes(version).counts(0, 0)).version, version);
  for (const uint32_t version : {1U, 4U})
    expect_refused(GgufBytes(version).counts(0, 0), "expected version 2 or 3 but got");
  expect_refused(GgufBytes(3U << 24).counts(0, 0), "little-endian", "big-endian");
}

TEST(GgufHeader, GivesShapesInTorchsOrderAndOffsetsInTheFile) {
  const GgufHeader header = parse(GgufBytes()
                                      .counts(2, 0)
                                      .tensor("b", {5, 3}, 0, 0)
                                      .tensor("a", {64, 2, 1, 7}, 2, 64)  // Q4_0
                                      .data(64 + 28 * 18));
  EXPECT_EQ(header.tensors.at("b").shape, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(header.tensors.at("a").shape, (std::vector<int64_t>{7, 1, 2, 64}));
  EXPECT_EQ(header.tensors.at("a").type, GgmlType::Q4_0);
  EXPECT_EQ(header.data_offset % 32, 0U);
  EXPECT_EQ(header.tensors.at("b").begin, header.data_offset);
  EXPECT_EQ(header.tensors.at("b").end, header.data_offset + 60);
  EXPECT_EQ(header.tensors.at("a").begin, header.data_offset + 64);
  EXPECT_EQ(header.tensors.at("a").end, header.data_offset + 64 + 28 * 18);
}

TEST(GgufHeader, RefusesOtherFiles) {
  expect_error<CheckpointError>([] { parse_gguf_header("", "m.gguf"); }, "GGUF");
  expect_error<CheckpointError>([] { parse_gguf_header("GGU", "m.gguf"); }, "GGUF");
  expect_error<CheckpointError>([] { parse_gguf_header("GGML and more", "m.gguf"); }, "GGUF");
  expect_error<CheckpointError>([] { parse_gguf_header("GGUF", "m.gguf"); }, "truncated");
}

TEST(GgufHeader, RefusesImpossibleCounts) {
  for (const uint64_t count : {uint64_t{1}, uint64_t{1} << 32, UINT64_MAX}) {
    expect_refused(GgufBytes().counts(count, 0), "number of tensors", "truncated");
    expect_refused(GgufBytes().counts(0, count), "number of metadata entries", "truncated");
  }
}

TEST(GgufHeader, RefusesDamagedMetadata) {
  const GgufBytes one = bytes(uint32_t{4}, uint32_t{7});
  expect_refused(GgufBytes().counts(0, 2).text("a").raw(one).text("a").raw(one), "'a'",
                 "duplicate key");
  expect_refused(with_metadata("", one), "1 to 65535 bytes");
  expect_refused(with_metadata(std::string(65536, 'x'), one), "65536");
  expect_refused(with_metadata("\xff", one), "UTF-8");
  expect_refused(with_metadata("a", bytes(uint32_t{13}, uint32_t{7})), "'a'", "value type", "13");
  expect_refused(with_metadata("a", bytes(uint32_t{7}, uint8_t{2})), "'a'", "0 or 1");
  expect_refused(with_metadata("a", bytes(uint32_t{12}, uint32_t{7})), "'a'", "truncated");
  expect_refused(with_metadata("a", bytes(uint32_t{8}, uint64_t{9}, uint8_t{'x'})), "'a'",
                 "9 more bytes");
  expect_refused(with_metadata("a", bytes(uint32_t{8}, UINT64_MAX)), "'a'", "truncated");
  expect_refused(with_metadata("a", bytes(uint32_t{8}, uint64_t{1}, uint8_t{0xff})), "'a'",
                 "UTF-8");
  for (const uint64_t count : {uint64_t{2}, uint64_t{1} << 62, UINT64_MAX})
    expect_refused(with_metadata("a", bytes(uint32_t{9}, uint32_t{4}, count, uint32_t{7})), "'a'",
                   "truncated");
  expect_refused(with_metadata("a", bytes(uint32_t{9}, uint32_t{9}, uint64_t{0})), "'a'",
                 "lists of lists");
  expect_refused(with_metadata("a", bytes(uint32_t{9}, uint32_t{13}, uint64_t{0})), "'a'", "13");
  expect_refused(with_metadata("a", bytes(uint32_t{9}, uint32_t{7}, uint64_t{1}, uint8_t{3})),
                 "'a'", "0 or 1");
}

TEST(GgufHeader, RefusesDamagedTensors) {
  expect_refused(GgufBytes().counts(2, 0).tensor("w", {8}, 0, 0).tensor("w", {8}, 0, 32).data(64),
                 "'w'", "duplicate name");
  expect_refused(with_tensor({}, 0, 0, 4), "'w'", "1 to 4 extents but got 0");
  expect_refused(with_tensor({1, 1, 1, 1, 1}, 0, 0, 4), "'w'", "but got 5");
  expect_refused(with_tensor({8, 0}, 0, 0, 0), "'w'", "at least 1");
  for (const uint32_t type : {4U, 5U, 31U, 33U, 36U, 38U, 42U, UINT32_MAX})
    expect_refused(with_tensor({8}, type, 0, 32), "'w'",
                   "unknown tensor type " + std::to_string(type));
  expect_refused(with_tensor({33}, 2, 0, 64), "'w'", "Q4_0", "blocks of 32", "[33]");
  expect_refused(with_tensor({8}, 0, 0, 31), "'w'", "truncated");
  expect_refused(with_tensor({8}, 0, 16, 64), "'w'", "alignment 32");
  expect_refused(with_tensor({8}, 0, 32, 64), "'w'", "expected data at offset 0", "gap");
  expect_refused(with_tensor({8}, 0, UINT64_MAX - 31, 32), "'w'");
  expect_refused(with_tensor({8}, 0, 0, 33), "end at offset 32", "33 bytes");
  expect_refused(GgufBytes().counts(2, 0).tensor("v", {16}, 0, 0).tensor("w", {8}, 0, 32).data(64),
                 "'w'", "expected data at offset 64", "overlap");
  expect_refused(GgufBytes().counts(2, 0).tensor("v", {8}, 0, 0).tensor("w", {8}, 0, 0).data(32),
                 "overlap");
}

TEST(GgufHeader, RefusesShapesThatOverflow) {
  constexpr uint64_t kHuge = uint64_t{1} << 62;
  for (const auto& extents :
       std::vector<std::vector<uint64_t>>{{kHuge, 4},
                                          {uint64_t{1} << 32, uint64_t{1} << 32},
                                          {UINT64_MAX},
                                          {kHuge},
                                          {1, kHuge, 2}})
    expect_refused(with_tensor(extents, 0, 0, 32), "'w'");
}

TEST(GgufHeader, AcceptsPaddingOnlyUpToTheAlignment) {
  EXPECT_EQ(parse(with_tensor({7}, 0, 0, 28)).tensors.size(), 1U);
  EXPECT_EQ(parse(with_tensor({7}, 0, 0, 32)).tensors.size(), 1U);
  expect_refused(with_tensor({7}, 0, 0, 33), "33 bytes");
}

TEST(GgufHeader, ObeysTheAlignmentAndBoundsIt) {
  const auto with_alignment = [](const GgufBytes& value) {
    return GgufBytes().counts(2, 1).text("general.alignment").raw(value);
  };
  const GgufHeader header = parse(with_alignment(bytes(uint32_t{4}, uint32_t{128}))
                                      .tensor("v", {1}, 0, 0)
                                      .tensor("w", {1}, 0, 128)
                                      .data(132, 128));
  EXPECT_EQ(header.alignment, 128U);
  EXPECT_EQ(header.data_offset % 128, 0U);
  EXPECT_EQ(header.tensors.at("w").begin, header.data_offset + 128);
  for (const uint32_t alignment : {0U, 1U, 4U, 24U, 33U, 1U << 17, 1U << 31, UINT32_MAX})
    expect_refused(with_metadata("general.alignment", bytes(uint32_t{4}, alignment)),
                   "general.alignment", "power of two", std::to_string(alignment));
  expect_refused(with_metadata("general.alignment", bytes(uint32_t{10}, uint64_t{32})),
                 "general.alignment", "UINT32");
}

TEST(GgufHeader, RestoresShapes) {
  const auto with_shape = [](const GgufBytes& value) {
    return GgufBytes()
        .counts(1, 1)
        .text("comfy.gguf.orig_shape.w")
        .raw(value)
        .tensor("w", {32, 9}, 0, 0)
        .data(32 * 9 * 4);
  };
  const auto list = [](uint32_t type, const std::vector<int32_t>& extents) {
    GgufBytes value = bytes(uint32_t{9}, type, uint64_t{extents.size()});
    for (const int32_t extent : extents) value.number(extent);
    return value;
  };
  EXPECT_EQ(parse(with_shape(list(5, {8, 4, 3, 3}))).tensors.at("w").shape,
            (std::vector<int64_t>{8, 4, 3, 3}));
  EXPECT_EQ(parse(with_shape(list(5, {8, 1, 4, 1, 3, 3}))).tensors.at("w").shape.size(), 6U);
  for (const auto& extents : std::vector<std::vector<int32_t>>{
           {8, 4, 3, 2}, {}, {0}, {-8, -4, 3, 3}, {65536, 65536, 65536, 65536}})
    expect_refused(with_shape(list(5, extents)), "orig_shape.w", "[9, 32]");
  expect_refused(with_shape(list(4, {8, 4, 3, 3})), "orig_shape.w", "INT32", "'w'");
  expect_refused(with_shape(bytes(uint32_t{5}, int32_t{288})), "orig_shape.w", "list of INT32");
}

}  // namespace
}  // namespace sdrbee::io
