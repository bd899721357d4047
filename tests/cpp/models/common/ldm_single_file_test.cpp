#include "sdrbee/models/common/ldm_single_file.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <zlib.h>

#include "io/temporary_folder.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/io/safetensors.h"
#include "support/golden.h"

namespace sdrbee::ldm {
namespace {

using io::Checkpoint;
using io::Json;
using io::testing::expect_error;
using io::testing::TemporaryFolder;

const std::array<io::SingleFileFormat, 1> kFormats = {kSingleFileFormat};

/// `fill` of tests/python/golden/make_single_file.py: values that depend on the name.
Tensor fill(const std::string& name, const std::vector<int64_t>& shape) {
  const auto seed = static_cast<int64_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(name.data()), static_cast<uInt>(name.size())));
  const Tensor index = at::arange(c10::multiply_integers(shape), Dtype::Long);
  return (index * 7919 + seed).remainder(65521).to(Dtype::Float).div(65521).reshape(shape);
}

double checksum(const Tensor& tensor) {
  const Tensor flat = tensor.reshape(-1).to(Dtype::Double);
  return (flat * at::arange(1, flat.numel() + 1)).mean().item<double>();
}

/// The golden of one generation, read once.
const Json& golden(const std::string& name) {
  static std::map<std::string, Json> read;
  Json& content = read[name];
  if (content.is_null())
    content = io::read_json(test::golden_path("single_file_" + name + ".json"));
  return content;
}

/// The tensors of the original file of one generation, made once.
std::map<std::string, Tensor> original_tensors(const std::string& generation) {
  static std::map<std::string, std::map<std::string, Tensor>> made;
  std::map<std::string, Tensor>& tensors = made[generation];
  if (tensors.empty())
    for (const auto& [name, shape] : golden(generation)["original"].items())
      tensors[name] = fill(name, shape.get<std::vector<int64_t>>());
  return tensors;
}

Checkpoint open(const TemporaryFolder& folder, const std::map<std::string, Tensor>& tensors,
                const std::map<std::string, std::string>& metadata = {}) {
  io::write_safetensors(folder / "m.safetensors", tensors, metadata);
  return Checkpoint::open(folder / "m.safetensors", kFormats);
}

class SingleFileTest : public ::testing::TestWithParam<const char*> {};

TEST_P(SingleFileTest, GivesTheTensorsThatDiffusersConverts) {
  const Json& expected = golden(GetParam());
  const TemporaryFolder folder;
  const Checkpoint checkpoint = open(folder, original_tensors(GetParam()));
  for (const auto& [part, content] : expected.items()) {
    if (part == "original") continue;
    const io::WeightSource& weights = *checkpoint.component(part).weights;
    EXPECT_EQ(weights.names().size(), content["tensors"].size()) << part;
    for (const auto& [name, entry] : content["tensors"].items()) {
      ASSERT_TRUE(weights.find(name).has_value()) << part << " " << name;
      const auto shape = entry[0].get<std::vector<int64_t>>();
      EXPECT_EQ(weights.find(name)->shape, shape) << name;
      const Tensor tensor = weights.read(name);
      EXPECT_EQ(tensor.sizes(), at::IntArrayRef(shape)) << name;
      const double sum = entry[1].get<double>();
      EXPECT_NEAR(checksum(tensor), sum, 1e-9 * std::abs(sum)) << name;
    }
  }
}

TEST_P(SingleFileTest, ReadsTheConfigurationOffTheTensors) {
  const Json& expected = golden(GetParam());
  const TemporaryFolder folder;
  const Checkpoint checkpoint = open(folder, original_tensors(GetParam()));
  for (const auto& [part, content] : expected.items()) {
    if (part == "original") continue;
    const Json& config = checkpoint.component(part).config.json();
    for (const auto& [key, value] : content["config"].items()) {
      if (value.is_null()) {
        EXPECT_FALSE(config.contains(key)) << part << " " << key;
      } else if (key == "projection_dim" &&
                 !content["tensors"].contains("text_projection.weight")) {
        EXPECT_FALSE(config.contains(key));  // no tensor of this model has it
      } else {
        EXPECT_EQ(config.value(key, Json()), value) << part << " " << key;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Generations, SingleFileTest,
                         ::testing::Values("v1", "v2", "xl", "xl_refiner"),
                         [](const auto& generation) { return generation.param; });

TEST(SingleFile, KnowsPipelineAndSchedulerOfVersion1) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = open(folder, original_tensors("v1"));
  EXPECT_EQ(checkpoint.layout(), io::CheckpointLayout::SingleFile);
  EXPECT_EQ(checkpoint.pipeline_class(), "StableDiffusionPipeline");
  EXPECT_EQ(checkpoint.component("scheduler").class_name, "PNDMScheduler");
  const io::Config& scheduler = checkpoint.component("scheduler").config;
  EXPECT_EQ(scheduler.string_or("prediction_type", ""), "epsilon");
  EXPECT_EQ(scheduler.int64_or("steps_offset", 0), 1);
  EXPECT_EQ(checkpoint.component("tokenizer").config.string_or("pad_token", ""), "<|endoftext|>");
  EXPECT_TRUE(checkpoint.component("unet").folder.empty());
}

TEST(SingleFile, KnowsAnInpaintingModelByItsInputChannels) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = open(folder, original_tensors("v2"));
  EXPECT_EQ(checkpoint.pipeline_class(), "StableDiffusionInpaintPipeline");
  EXPECT_EQ(checkpoint.component("tokenizer").config.string_or("pad_token", ""), "!");
}

TEST(SingleFile, KnowsThatXlZeroesTheEmptyPrompt) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = open(folder, original_tensors("xl"));
  EXPECT_EQ(checkpoint.pipeline_class(), "StableDiffusionXLPipeline");
  EXPECT_TRUE(checkpoint.index().bool_or("force_zeros_for_empty_prompt", false));
  EXPECT_EQ(checkpoint.component("scheduler").class_name, "EulerDiscreteScheduler");
  EXPECT_NE(checkpoint.find("tokenizer_2"), nullptr);
}

TEST(SingleFile, KnowsTheRefinerByItsOneTextEncoder) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = open(folder, original_tensors("xl_refiner"));
  EXPECT_EQ(checkpoint.pipeline_class(), "StableDiffusionXLImg2ImgPipeline");
  EXPECT_EQ(checkpoint.find("text_encoder"), nullptr);
  EXPECT_EQ(checkpoint.find("tokenizer"), nullptr);
  EXPECT_NE(checkpoint.find("tokenizer_2"), nullptr);
  EXPECT_TRUE(checkpoint.index().bool_or("requires_aesthetics_score", false));
  EXPECT_FALSE(checkpoint.index().bool_or("force_zeros_for_empty_prompt", true));
}

TEST(SingleFile, TakesThePredictionFromMetadataOrMarker) {
  const TemporaryFolder folder;
  std::map<std::string, Tensor> tensors = original_tensors("xl");
  const auto prediction = [&](const std::map<std::string, std::string>& metadata) {
    return open(folder, tensors, metadata)
        .component("scheduler")
        .config.string_or("prediction_type", "");
  };
  EXPECT_EQ(prediction({}), "epsilon");
  EXPECT_EQ(prediction({{"modelspec.prediction_type", "v"}}), "v_prediction");
  tensors["v_pred"] = at::zeros({0});
  tensors["ztsnr"] = at::zeros({0});
  EXPECT_EQ(prediction({}), "v_prediction");
  EXPECT_TRUE(Checkpoint::open(folder / "m.safetensors", kFormats)
                  .component("scheduler")
                  .config.bool_or("rescale_betas_zero_snr", false));
}

// Models of Stable Diffusion 2 trained on v have a wider spread in one bias.
TEST(SingleFile, JudgesVersion2ByTheSpreadOfABias) {
  const TemporaryFolder folder;
  std::map<std::string, Tensor> tensors = original_tensors("v2");
  const std::string first = "model.diffusion_model.input_blocks.0.0.weight";
  tensors[first] = tensors[first].narrow(1, 0, 4).contiguous();  // not the inpainting model
  const auto scheduler = [&](double spread) {
    tensors["model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"] =
        at::arange(4).remainder(2).mul(2.0).sub(1.0).mul(spread).to(Dtype::Half);
    return open(folder, tensors).component("scheduler");
  };
  EXPECT_EQ(scheduler(0.1).config.string_or("prediction_type", ""), "v_prediction");
  EXPECT_EQ(scheduler(0.1).class_name, "DDIMScheduler");
  // The spread is that of the values themselves: of a sample it would be 0.0924.
  EXPECT_EQ(scheduler(0.08).config.string_or("prediction_type", ""), "epsilon");
  EXPECT_EQ(scheduler(0.08).class_name, "PNDMScheduler");
}

TEST(SingleFile, KeepsTensorsThatNoRuleKnowsAndDropsTrainingRests) {
  const TemporaryFolder folder;
  std::map<std::string, Tensor> tensors = original_tensors("v1");
  tensors["model.diffusion_model.surprise.weight"] = at::zeros({1});
  tensors["first_stage_model.loss.logvar"] = at::zeros({1});
  tensors["model_ema.decay"] = at::zeros({1});
  const Checkpoint checkpoint = open(folder, tensors);
  EXPECT_TRUE(checkpoint.component("unet").weights->find("surprise.weight").has_value());
  EXPECT_FALSE(checkpoint.component("vae").weights->find("loss.logvar").has_value());
}

TEST(SingleFile, AcceptsClipWithoutTheTextModelPrefix) {
  const TemporaryFolder folder;
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, tensor] : original_tensors("v1")) {
    std::string plain = name;
    if (const size_t at = plain.find("text_model."); at != std::string::npos) plain.erase(at, 11);
    tensors[plain] = tensor;
  }
  const Checkpoint checkpoint = open(folder, tensors);
  EXPECT_TRUE(checkpoint.component("text_encoder")
                  .weights->find("encoder.layers.1.mlp.fc2.bias")
                  .has_value());
}

TEST(SingleFile, RefusesUnknownFilesAndKindsThatDoNotRun) {
  const TemporaryFolder folder;
  expect_error<UnsupportedModel>(
      [&] {
        open(folder, {{"lora_up.weight", at::zeros({2})}});
      },
      "m.safetensors", "Stable Diffusion 1.x");
  std::map<std::string, Tensor> playground = original_tensors("xl");
  playground["edm_mean"] = at::zeros({4});
  expect_error<UnsupportedModel>([&] { open(folder, playground); }, "m.safetensors", "Playground");
  std::map<std::string, Tensor> upscaler = original_tensors("v2");
  upscaler["model.diffusion_model.label_emb.weight"] = at::zeros({2, 2});
  expect_error<UnsupportedModel>([&] { open(folder, upscaler); }, "m.safetensors", "upscaler");
}

TEST(SingleFile, NamesATensorThatAWholeUnetWouldHave) {
  const TemporaryFolder folder;
  std::map<std::string, Tensor> tensors = original_tensors("v1");
  tensors.erase("model.diffusion_model.out.2.weight");
  expect_error<CheckpointError>([&] { open(folder, tensors); }, "m.safetensors", "out.2.weight");
  tensors = original_tensors("v1");
  for (auto& item : tensors)
    if (item.first.ends_with("to_k.weight")) item.second = item.second.reshape(-1);
  expect_error<CheckpointError>([&] { open(folder, tensors); }, "to_k.weight", "shape");
}

}  // namespace
}  // namespace sdrbee::ldm
