#include "sdrbee/io/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/weight_scope.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::file_count;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

std::string with_length(std::string_view header) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + std::string(header);
}

/// Opens a file with this header and `data_bytes` zero bytes.
SafetensorsFile open_with(const TemporaryFolder& folder, std::string_view header,
                          size_t data_bytes) {
  write_text(folder / "m.safetensors", with_length(header) + std::string(data_bytes, '\0'));
  return SafetensorsFile(folder / "m.safetensors");
}

template <typename... Parts>
void expect_refused(std::string_view header, size_t data_bytes, const Parts&... parts) {
  const TemporaryFolder folder;
  expect_error<CheckpointError>([&] { open_with(folder, header, data_bytes); }, "m.safetensors",
                                parts...);
}

Tensor counting(at::IntArrayRef shape, Dtype dtype) {
  return at::arange(c10::multiply_integers(shape)).reshape(shape).to(dtype);
}

TEST(SafetensorsFile, ReadsBackEveryDtype) {
  const TemporaryFolder folder;
  std::map<std::string, Tensor> tensors;
  for (const Dtype dtype :
       {Dtype::Float, Dtype::Half, Dtype::BFloat16, Dtype::Float8_e4m3fn, Dtype::Float8_e5m2,
        Dtype::Char, Dtype::Short, Dtype::Int, Dtype::Long, Dtype::Byte})
    tensors[c10::toString(dtype)] = counting({3, 5}, dtype);
  tensors["bool"] = counting({7}, Dtype::Long).remainder(2).to(Dtype::Bool);
  tensors["scalar"] = at::ones({}, Dtype::Float);
  tensors["empty"] = at::empty({0, 4}, Dtype::Half);
  write_safetensors(folder / "m.safetensors", tensors, {{"format", "pt"}, {"é", "ü"}});

  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"é", "ü"}}));
  EXPECT_EQ(file.names().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const Tensor read = file.read(name);
    EXPECT_EQ(file.find(name)->dtype, tensor.scalar_type()) << name;
    EXPECT_EQ(at::IntArrayRef(file.find(name)->shape), tensor.sizes()) << name;
    EXPECT_EQ(read.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(read.sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(read.to(Dtype::Float), tensor.to(Dtype::Float))) << name;
  }
}

TEST(SafetensorsFile, WritesTensorsOfAnyStrides) {
  const TemporaryFolder folder;
  const Tensor tensor = counting({3, 5}, Dtype::Float).t();
  write_safetensors(folder / "m.safetensors", {{"a", tensor}});
  EXPECT_TRUE(at::equal(SafetensorsFile(folder / "m.safetensors").read("a"), tensor));
}

TEST(SafetensorsFile, SharesTheMappingWithoutACopyAndKeepsItAlive) {
  const TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", {{"a", counting({64, 1024}, Dtype::Float)}});
  Tensor first;
  Tensor second;
  {
    const SafetensorsFile file(folder / "m.safetensors");
    first = file.read("a");
    second = file.read("a");
    EXPECT_EQ(first.const_data_ptr(), second.const_data_ptr());
  }
  first.reset();  // gives pages back that `second` still uses
  EXPECT_TRUE(at::equal(second, counting({64, 1024}, Dtype::Float)));
}

TEST(SafetensorsFile, CopiesMisalignedTensors) {
  const TemporaryFolder folder;
  const std::string header = R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("f":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  const float values[2] = {1.5F, -2.0F};
  write_text(folder / "m.safetensors",
             with_length(header) + "x" + std::string(reinterpret_cast<const char*>(values), 8));
  const Tensor tensor = SafetensorsFile(folder / "m.safetensors").read("f");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 4, 0U);
  EXPECT_EQ(tensor[0].item<float>(), 1.5F);
  EXPECT_EQ(tensor[1].item<float>(), -2.0F);
}

TEST(SafetensorsFile, AcceptsAFileWithoutTensors) {
  const TemporaryFolder folder;
  EXPECT_TRUE(open_with(folder, "{}", 0).names().empty());
  EXPECT_TRUE(open_with(folder, "{}      ", 0).names().empty());
}

TEST(SafetensorsFile, NamesAMissingTensor) {
  const TemporaryFolder folder;
  const SafetensorsFile file = open_with(folder, "{}", 0);
  EXPECT_FALSE(file.find("unet.x").has_value());
  expect_error<CheckpointError>([&] { file.read("unet.x"); }, "m.safetensors", "'unet.x'");
}

TEST(SafetensorsFile, RefusesDamagedHeaders) {
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  expect_refused("{" + a + "}", 7, "'a'", "truncated");
  expect_refused("{" + a + "}", 9, "end at offset 8", "9 bytes");
  expect_refused("{" + a + "," + a + "}", 8, "duplicate key 'a'");
  expect_refused("{" + a + "} x", 8, "not valid JSON");
  expect_refused("[]", 0, "'{'");
  expect_refused(" {}", 0, "'{'");
  expect_refused("{" + a, 8, "not valid JSON");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "'a'", "gap");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                 R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                 12, "'b'", "overlap");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "'a'");
  expect_refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "'a'",
                 "expected 12 bytes", "[3]");
  expect_refused(R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", 8, "'a'", "F99");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2]}})", 8, "'a'", "data_offsets");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "'a'");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8, "'x'");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8,
                 "duplicate key 'shape'");
  expect_refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "'a'",
                 "negative");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "'a'");
  expect_refused(R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "'a'");
  expect_refused(R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "'a'");
  expect_refused(R"({"a":{"dtype":null,"shape":[2],"data_offsets":[0,8]}})", 8, "'a'");
  expect_refused(R"({"a":[1]})", 0, "'a'");
  expect_refused(R"({"__metadata__":{"a":1}})", 0, "__metadata__");
  expect_refused(R"({"__metadata__":{"a":"1","a":"2"}})", 0, "duplicate key 'a'");
}

TEST(SafetensorsFile, RefusesShapesThatOverflow) {
  for (const char* shape : {"[4611686018427387904,4]", "[4294967296,4294967296]",
                            "[0,4611686018427387904,4611686018427387904]", "[9223372036854775808]",
                            "[99999999999999999999999]"})
    expect_refused(
        std::string(R"({"a":{"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,0]}})", 0,
        "'a'");
}

TEST(SafetensorsFile, RefusesImpossibleHeaderLengths) {
  const TemporaryFolder folder;
  const auto open_text = [&](const std::string& text) {
    write_text(folder / "m.safetensors", text);
    SafetensorsFile file(folder / "m.safetensors");
  };
  expect_error<CheckpointError>([&] { open_text("1234567"); }, "at least 8 bytes but got 7");
  expect_error<CheckpointError>([&] { open_text(std::string(8, '\xff') + "{}"); }, "at most");
  expect_error<CheckpointError>([&] { open_text(std::string("\x03\0\0\0\0\0\0\0{}", 10)); },
                                "truncated");
  expect_error<CheckpointError>([&] { open_text(std::string(8, '\0')); }, "'{'");
}

TEST(SafetensorsFile, RefusesBytesThatAreNoBools) {
  const TemporaryFolder folder;
  write_text(
      folder / "m.safetensors",
      with_length(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})") + "\x01\x02");
  const SafetensorsFile file(folder / "m.safetensors");
  expect_error<CheckpointError>([&] { file.read("a"); }, "'a'", "BOOL");
}

TEST(SafetensorsFile, RefusesPicklesWithTheConversion) {
  const TemporaryFolder folder;
  const std::string zip("PK\x03\x04 rest of a zip", 18);
  for (const auto& [name, content] :
       std::map<std::string, std::string>{{"m.ckpt", zip},
                                          {"m.safetensors", zip},
                                          {"n.safetensors", "\x80\x02}q"},
                                          {"m.PT", "x"},
                                          {"m.pth", "x"},
                                          {"pytorch_model.bin", "x"}}) {
    write_text(folder / name, content);
    expect_error<UnsupportedModel>([&] { SafetensorsFile file(folder / name); },
                                   (folder / name).string(), "torch.load", "weights_only=True",
                                   "save_file", ".safetensors");
  }
}

TEST(SafetensorsFile, IsNotMistakenForAPickleByItsHeaderLength) {
  const TemporaryFolder folder;
  const std::string header = "{}" + std::string(0x280 - 2, ' ');  // length bytes 0x80 0x02
  EXPECT_TRUE(open_with(folder, header, 0).names().empty());
}

TEST(WriteSafetensors, IsDeterministicAndLeavesNoHalfFile) {
  const TemporaryFolder folder;
  const std::map<std::string, Tensor> tensors = {{"a", counting({3}, Dtype::Half)},
                                                 {"b", counting({3}, Dtype::Float)}};
  write_safetensors(folder / "1.safetensors", tensors);
  write_safetensors(folder / "2.safetensors", tensors);
  EXPECT_EQ(read_text(folder / "1.safetensors"), read_text(folder / "2.safetensors"));
  expect_error<CheckpointError>(
      [&] {
        write_safetensors(folder / "3.safetensors", {{"a", counting({3}, Dtype::Double)}});
      },
      "Double");
  EXPECT_EQ(file_count(folder.path()), 2U);
}

/// What a network does: takes the tensors it knows, with their shapes, and nothing else.
std::vector<Tensor> load(const std::filesystem::path& path,
                         const std::map<std::string, Tensor>& expected) {
  const SafetensorsFile file(path);
  WeightLedger ledger;
  const WeightScope scope(file, ledger, Dtype::Float, c10::kCPU);
  std::vector<Tensor> taken;
  for (const auto& [name, tensor] : expected) taken.push_back(scope.take(name, tensor.sizes()));
  ledger.check_all_taken(file);
  return taken;
}

TEST(SafetensorsFile, AnyFlippedHeaderBitIsATypedErrorOrLoadsTheSameTensors) {
  const TemporaryFolder folder;
  const std::map<std::string, Tensor> tensors = {{"w.a", counting({2, 3}, Dtype::Half)},
                                                 {"w.b", counting({6}, Dtype::Half)},
                                                 {"w.bias", counting({1, 4}, Dtype::Float)},
                                                 {"w.none", at::zeros({0, 2}, Dtype::Float)}};
  write_safetensors(folder / "m.safetensors", tensors, {{"format", "pt"}});
  const std::string good = read_text(folder / "m.safetensors");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, good.data(), 8);
  size_t refused = 0;
  for (size_t bit = 0; bit < 8 * (8 + header_bytes); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    write_text(folder / "f.safetensors", flipped);
    try {
      const std::vector<Tensor> taken = load(folder / "f.safetensors", tensors);
      size_t index = 0;
      for (const auto& item : tensors)
        ASSERT_TRUE(at::equal(taken[index++], item.second.to(Dtype::Float))) << "bit " << bit;
    } catch (const CheckpointError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 6 * header_bytes);
}

TEST(SafetensorsFile, AnyTruncationIsATypedError) {
  const TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", {{"a", counting({2, 3}, Dtype::Half)}});
  const std::string good = read_text(folder / "m.safetensors");
  for (size_t length = 0; length < good.size(); ++length) {
    write_text(folder / "t.safetensors", good.substr(0, length));
    EXPECT_THROW(SafetensorsFile file(folder / "t.safetensors"), CheckpointError) << length;
  }
}

}  // namespace
}  // namespace sdrbee::io
