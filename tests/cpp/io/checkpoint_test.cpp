#include "sdrbee/io/checkpoint.h"

#include <ATen/ops/full.h>
#include <sys/resource.h>

#include "sdrbee/core/error.h"
#include "sdrbee/core/sha256.h"
#include "sdrbee/io/safetensors.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

/// A small diffusers folder; `value` fills the UNet's tensors.
class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    write_text(model_ / "model_index.json", R"({
      "_class_name": "StableDiffusionPipeline", "requires_safety_checker": true,
      "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
      "text_encoder": ["transformers", "CLIPTextModel"],
      "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"],
      "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
      "feature_extractor": ["transformers", "CLIPImageProcessor"],
      "image_encoder": [null, null]})");
    for (const char* part : {"unet", "vae", "text_encoder"})
      write_text(model_ / part / "config.json", R"({"layers": 3})");
    write_text(model_ / "scheduler/scheduler_config.json", R"({"beta_start": 0.5})");
    write_text(model_ / "tokenizer/vocab.json", "{}");
    write_weights("unet/diffusion_pytorch_model.safetensors", {{"x", at::full({2}, 1.0F)}});
    write_weights("vae/diffusion_pytorch_model.safetensors",
                  {{"decoder.mid_block.attentions.0.query.weight", at::full({1, 1}, 2.0F)},
                   {"decoder.mid_block.attentions.0.proj_attn.bias", at::full({1}, 3.0F)}});
    write_weights("text_encoder/model.safetensors",
                  {{"text_model.final_layer_norm.bias", at::full({1}, 4.0F)}});
  }

  void write_weights(const std::string& name, const std::map<std::string, Tensor>& tensors) {
    write_safetensors(model_ / name, tensors);
  }
  float unet_value(const std::string& variant = "") const {
    const Checkpoint checkpoint = Checkpoint::open(model_, {}, variant);
    return checkpoint.component("unet").weights->read("x")[0].item<float>();
  }
  template <typename ErrorType, typename... Parts>
  void expect_refused(const Parts&... parts) const {
    expect_error<ErrorType>([&] { Checkpoint::open(model_); }, parts...);
  }

  TemporaryFolder folder_;
  std::filesystem::path model_ = folder_ / "model";
};

TEST_F(CheckpointTest, OpensAFolder) {
  const Checkpoint checkpoint = Checkpoint::open(model_);
  EXPECT_EQ(checkpoint.layout(), CheckpointLayout::DiffusersFolder);
  EXPECT_EQ(checkpoint.pipeline_class(), "StableDiffusionPipeline");
  EXPECT_TRUE(checkpoint.index().bool_or("requires_safety_checker", false));
  EXPECT_EQ(checkpoint.components().size(), 5U);
  EXPECT_EQ(checkpoint.component("unet").config.int64_or("layers", 0), 3);
  EXPECT_EQ(checkpoint.component("scheduler").config.double_or("beta_start", 0), 0.5);
  EXPECT_EQ(checkpoint.component("scheduler").weights, nullptr);
  EXPECT_EQ(checkpoint.component("tokenizer").folder, model_ / "tokenizer");
  EXPECT_EQ(checkpoint.find("safety_checker"), nullptr);
  EXPECT_EQ(checkpoint.find("image_encoder"), nullptr);
  EXPECT_EQ(checkpoint.files().size(), 9U);
}

TEST_F(CheckpointTest, OffersTodaysNames) {
  const Checkpoint checkpoint = Checkpoint::open(model_);
  EXPECT_EQ(checkpoint.component("text_encoder").weights->names(),
            (std::vector<std::string>{"final_layer_norm.bias"}));
  EXPECT_EQ(checkpoint.component("vae").weights->names(),
            (std::vector<std::string>{"decoder.mid_block.attentions.0.to_out.0.bias",
                                      "decoder.mid_block.attentions.0.to_q.weight"}));
}

TEST_F(CheckpointTest, ChoosesTheVariant) {
  write_weights("unet/diffusion_pytorch_model.fp16.safetensors", {{"x", at::full({2}, 16.0F)}});
  EXPECT_EQ(unet_value(), 1.0F);
  write_weights("vae/diffusion_pytorch_model.fp16.safetensors", {});
  write_weights("text_encoder/model.fp16.safetensors", {});
  EXPECT_EQ(unet_value("fp16"), 16.0F);
  std::filesystem::remove(model_ / "unet/diffusion_pytorch_model.safetensors");
  EXPECT_EQ(unet_value(), 16.0F);
  expect_error<CheckpointError>([&] { unet_value("bf16"); }, "bf16.safetensors");
}

TEST_F(CheckpointTest, ReadsShards) {
  std::filesystem::remove(model_ / "unet/diffusion_pytorch_model.safetensors");
  write_weights("unet/s-00001-of-00002.safetensors", {{"x", at::full({2}, 5.0F)}});
  write_weights("unet/s-00002-of-00002.safetensors", {{"y", at::full({2}, 6.0F)}});
  const auto index = model_ / "unet/diffusion_pytorch_model.safetensors.index.json";
  write_text(index, R"({"metadata": {}, "weight_map": {"x": "s-00001-of-00002.safetensors",
                                                       "y": "s-00002-of-00002.safetensors"}})");
  EXPECT_EQ(unet_value(), 5.0F);
  EXPECT_EQ(Checkpoint::open(model_).files().size(), 11U);

  std::filesystem::remove(model_ / "unet/s-00002-of-00002.safetensors");
  expect_refused<CheckpointError>("s-00002-of-00002.safetensors", "No such file");
  write_weights("unet/s-00002-of-00002.safetensors", {{"z", at::full({2}, 6.0F)}});
  expect_refused<CheckpointError>("s-00002-of-00002.safetensors", "'y'", "index.json");
  write_text(index, R"({"weight_map": {"x": "../../secret.safetensors"}})");
  expect_refused<CheckpointError>("index.json", "'x'", "../../secret.safetensors");
  write_text(index, R"({"weight_map": {"x": "/etc/passwd"}})");
  expect_refused<CheckpointError>("index.json", "/etc/passwd");
  write_text(index, R"({"weight_map": {"x": 1}})");
  expect_refused<CheckpointError>("index.json", "'x'");
  write_text(index, "{}");
  expect_refused<CheckpointError>("index.json", "'weight_map'");
}

TEST_F(CheckpointTest, ReadsVariantShardsOfDiffusersAndTransformers) {
  std::filesystem::remove(model_ / "unet/diffusion_pytorch_model.safetensors");
  std::filesystem::remove(model_ / "text_encoder/model.safetensors");
  write_weights("unet/u.fp16-00001-of-00001.safetensors", {{"x", at::full({2}, 5.0F)}});
  write_text(model_ / "unet/diffusion_pytorch_model.safetensors.fp16.index.json",
             R"({"weight_map": {"x": "u.fp16-00001-of-00001.safetensors"}})");
  write_weights("text_encoder/t.safetensors", {{"text_model.y", at::full({2}, 5.0F)}});
  write_text(model_ / "text_encoder/model.safetensors.index.fp16.json",
             R"({"weight_map": {"text_model.y": "t.safetensors"}})");
  EXPECT_EQ(unet_value(), 5.0F);
  EXPECT_TRUE(Checkpoint::open(model_).component("text_encoder").weights->find("y").has_value());
}

TEST_F(CheckpointTest, NamesWhatIsMissing) {
  expect_error<CheckpointError>([&] { Checkpoint::open(folder_ / "none"); },
                                (folder_ / "none").string(), "nothing at this path");
  expect_error<CheckpointError>([&] { Checkpoint::open(folder_.path()); }, "no model_index.json");
  const Checkpoint checkpoint = Checkpoint::open(model_);
  expect_error<CheckpointError>([&] { checkpoint.component("text_encoder_2"); }, model_.string(),
                                "'text_encoder_2'", "unet");
  expect_error<CheckpointError>([&] { checkpoint.component("vae", "AutoencoderKLQwenImage"); },
                                "'vae'", "AutoencoderKLQwenImage", "got AutoencoderKL");
  EXPECT_EQ(checkpoint.component("vae", "AutoencoderKL").name, "vae");
  std::filesystem::remove(model_ / "vae/config.json");
  expect_refused<CheckpointError>("vae/config.json");
  std::filesystem::remove_all(model_ / "vae");
  expect_refused<CheckpointError>("vae", "folder is missing");
}

TEST_F(CheckpointTest, RefusesPickledWeightsWithTheConversion) {
  std::filesystem::remove(model_ / "unet/diffusion_pytorch_model.safetensors");
  expect_refused<CheckpointError>("unet", "diffusion_pytorch_model.safetensors");
  write_text(model_ / "unet/diffusion_pytorch_model.bin", "x");
  expect_refused<UnsupportedModel>("unet/diffusion_pytorch_model.bin", "weights_only=True");
  write_text(folder_ / "v1-5.ckpt", "x");
  expect_error<UnsupportedModel>([&] { Checkpoint::open(folder_ / "v1-5.ckpt"); }, "v1-5.ckpt",
                                 "save_file");
}

TEST_F(CheckpointTest, RefusesAHostileIndex) {
  write_text(model_ / "model_index.json", R"({"../vae": ["diffusers", "AutoencoderKL"]})");
  expect_refused<CheckpointError>("model_index.json", "../vae");
  write_text(model_ / "model_index.json", R"({"vae": ["diffusers"]})");
  expect_refused<CheckpointError>("model_index.json", "'vae'");
  write_text(model_ / "model_index.json", R"({"vae": [1, 2]})");
  expect_refused<CheckpointError>("model_index.json", "'vae'");
  write_text(model_ / "model_index.json", "[]");
  expect_refused<CheckpointError>("model_index.json", "object");
}

TEST_F(CheckpointTest, HashesNamesAndContents) {
  const std::string before = Checkpoint::open(model_).sha256();
  EXPECT_EQ(before.size(), 64U);
  EXPECT_EQ(Checkpoint::open(model_).sha256(), before);
  std::filesystem::rename(model_, folder_ / "moved");
  EXPECT_EQ(Checkpoint::open(folder_ / "moved").sha256(), before);
  write_text(folder_ / "moved/tokenizer/vocab.json", "{ }");
  EXPECT_NE(Checkpoint::open(folder_ / "moved").sha256(), before);
}

long peak_resident_kib() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST_F(CheckpointTest, HashesALargeFileWithoutKeepingItInMemory) {
  constexpr long kFileKib = 512 << 10;
  const auto large = model_ / "unet/diffusion_pytorch_model.safetensors";
  const Checkpoint checkpoint = Checkpoint::open(model_);
  std::filesystem::resize_file(large, kFileKib * 1024L);  // zeros that take no room on the disk
  const long before = peak_resident_kib();
  EXPECT_EQ(checkpoint.sha256().size(), 64U);
  EXPECT_LT(peak_resident_kib() - before, kFileKib / 4);
}

TEST(Sha256, GivesTheDigestsOfTheStandard) {
  EXPECT_EQ(sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  hash.update("a");
  hash.update("bc");
  EXPECT_EQ(hash.hexadecimal(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash.hexadecimal(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace sdrbee::io
