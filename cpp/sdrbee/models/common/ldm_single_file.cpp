#include "sdrbee/models/common/ldm_single_file.h"

#include <ATen/ops/std.h>

#include <algorithm>
#include <string>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/common/ldm_rename_table.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/models/common/single_file_parts.h"

namespace sdrbee::ldm {
namespace {

using io::Component;
using io::Config;
using io::Json;
using io::LoneComponent;
using io::SingleFileParts;
using io::WeightSource;
using Source = std::shared_ptr<const WeightSource>;
using Metadata = std::map<std::string, std::string>;

constexpr const char* kUnetPrefix = "model.diffusion_model.";
constexpr const char* kClipPrefix = "cond_stage_model.transformer.";
constexpr const char* kOpenClipPrefix = "cond_stage_model.model.";
constexpr const char* kXlClipPrefix = "conditioner.embedders.0.transformer.";
constexpr const char* kXlOpenClipPrefix = "conditioner.embedders.1.model.";
constexpr const char* kRefinerPrefix = "conditioner.embedders.0.model.";
/// Pooled text and five time ids of 256 channels.
constexpr int64_t kRefinerAdditionWidth = 1280 + 5 * 256;

enum class Generation { One, Two, Xl, XlRefiner };

/// Constants that differ between the generations and that no tensor tells, from the published
/// folders: https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5,
/// stabilityai/stable-diffusion-2-1, stabilityai/stable-diffusion-xl-base-1.0
struct Facts {
  const char* pipeline_class;
  int64_t latent_size;
  double scaling_factor;
};

Facts facts_of(Generation generation) {
  switch (generation) {
    case Generation::One:
      return {"StableDiffusionPipeline", 64, 0.18215};
    case Generation::Two:
      return {"StableDiffusionPipeline", 96, 0.18215};
    case Generation::Xl:
      return {"StableDiffusionXLPipeline", 128, 0.13025};
    case Generation::XlRefiner:
      return {"StableDiffusionXLImg2ImgPipeline", 128, 0.13025};
  }
  throw InternalError("[single_file] unknown generation");
}

bool is_xl(Generation generation) {
  return generation == Generation::Xl || generation == Generation::XlRefiner;
}

bool has_prefix(const WeightSource& file, const std::string& prefix) {
  const std::vector<std::string> names = file.names();
  const auto first = std::lower_bound(names.begin(), names.end(), prefix);
  return first != names.end() && first->starts_with(prefix);
}

/// The UNet's weights without prefix; null when there is no UNet.
Source find_unet(const Source& file) {
  if (file->find(message(kUnetPrefix, "input_blocks.0.0.weight"))) return below(file, kUnetPrefix);
  const bool original = file->find("input_blocks.0.0.weight") && file->find("out.2.weight");
  const bool current = file->find("down_blocks.0.resnets.0.conv1.weight") &&
                       file->find("time_embedding.linear_1.weight") &&
                       file->find("conv_out.weight");
  return original || current ? file : nullptr;
}

LoneComponent unet_component(const Source& unet) {
  std::vector<io::RenameRule> rules;
  if (unet->find("input_blocks.0.0.weight")) {
    extent(*unet, "out.2.weight", 0);  // so that the message has the file's own name
    rules = unet_rules(unet_layout(*unet));
  }
  // Markers of the prediction in files that hold a UNet alone.
  for (const char* marker : {"v_pred", "ztsnr"})
    rules.push_back({marker, {}, io::RenameVerb::Drop});
  const auto weights = std::make_shared<io::RenamedWeights>(unet, rules);
  ReadConfig config = read_unet_config(*weights);
  return {.component = {.name = "unet",
                        .library = "diffusers",
                        .class_name = "UNet2DConditionModel",
                        .config = std::move(config.told),
                        .weights = weights,
                        .folder = {}},
          .untold = std::move(config.untold)};
}

Generation generation_of(const WeightSource& file, const Component& unet) {
  if (file.find("edm_mean"))
    throw UnsupportedModel(message("[", file.origin(""), "] Playground 2.5 and other XL models in ",
                                   "EDM's parametrisation are not supported"));
  if (unet.weights->find("label_emb.weight"))
    throw UnsupportedModel(message("[", file.origin(""), "] the 2.x upscaler is not supported"));
  const int64_t addition = unet.config.int64_or("projection_class_embeddings_input_dim", 0);
  if (has_prefix(file, kRefinerPrefix) || addition == kRefinerAdditionWidth)
    return Generation::XlRefiner;
  if (addition > 0) return Generation::Xl;
  const bool wide = unet.config.int64_or("cross_attention_dim", 0) == 1024;
  return wide || has_prefix(file, kOpenClipPrefix) ? Generation::Two : Generation::One;
}

/// Models trained on v have a wider spread in this bias; the threshold is the one that ComfyUI and
/// A1111 users rely on.
/// https://github.com/comfyanonymous/ComfyUI/blob/master/comfy/supported_models.py
bool spread_says_velocity(const WeightSource& unet) {
  for (const char* block : {"output_blocks.11.1.", "up_blocks.3.attentions.2."}) {
    const std::string name = message(block, "transformer_blocks.0.norm1.bias");
    if (!unet.find(name)) continue;
    return at::std(unet.read(name).to(Dtype::Float), /*unbiased=*/false).item<double>() > 0.09;
  }
  return false;
}

std::string prediction_type(const WeightSource& file, const Metadata& metadata,
                            Generation generation, const WeightSource& unet, bool inpainting) {
  if (const auto found = metadata.find("modelspec.prediction_type"); found != metadata.end()) {
    if (found->second == "v") return "v_prediction";
    if (found->second == "epsilon") return "epsilon";
  }
  if (file.find("v_pred")) return "v_prediction";
  const bool undecided = generation == Generation::Two && !inpainting;
  return undecided && spread_says_velocity(unet) ? "v_prediction" : "epsilon";
}

Component clip_tokenizer(const char* name, const char* pad_token) {
  return tokenizer_component(name, "CLIPTokenizer",
                             {{"pad_token", pad_token}, {"model_max_length", 77}});
}

Component scheduler_of(const WeightSource& file, Generation generation,
                       const std::string& prediction) {
  Json config = {
      {"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085},         {"beta_end", 0.012},
      {"num_train_timesteps", 1000},      {"prediction_type", prediction}, {"steps_offset", 1},
      {"timestep_spacing", "leading"}};
  std::string class_name = "PNDMScheduler";
  if (is_xl(generation)) class_name = "EulerDiscreteScheduler";
  if (generation == Generation::Two && prediction == "v_prediction") class_name = "DDIMScheduler";
  if (!is_xl(generation)) config["set_alpha_to_one"] = false;
  if (class_name == "PNDMScheduler") config["skip_prk_steps"] = true;
  if (class_name == "DDIMScheduler") config["clip_sample"] = false;
  if (file.find("ztsnr")) config["rescale_betas_zero_snr"] = true;
  config["_class_name"] = class_name;
  return scheduler_component(Config(std::move(config), file.origin("")));
}

/// The text encoder below a prefix as the pipeline's `name`.
void add_text_encoder(const Source& file, const char* prefix, const char* name, bool projected,
                      SingleFileParts& parts) {
  if (!has_prefix(*file, prefix)) return;
  auto found = find_clip_text(below(file, prefix), projected);
  if (!found)
    throw CheckpointError(message("[", file->origin(prefix), "] below '", prefix,
                                  "' there is no whole CLIP text encoder"));
  found->component.class_name = projected ? "CLIPTextModelWithProjection" : "CLIPTextModel";
  add_component(*std::move(found), name, parts);
}

void add_text_encoders(const Source& file, Generation generation, SingleFileParts& parts) {
  switch (generation) {
    case Generation::One:
      return add_text_encoder(file, kClipPrefix, "text_encoder", /*projected=*/false, parts);
    case Generation::Two:
      return add_text_encoder(file, kOpenClipPrefix, "text_encoder", /*projected=*/false, parts);
    case Generation::XlRefiner:
      return add_text_encoder(file, kRefinerPrefix, "text_encoder_2", /*projected=*/true, parts);
    case Generation::Xl:
      add_text_encoder(file, kXlClipPrefix, "text_encoder", /*projected=*/false, parts);
      add_text_encoder(file, kXlOpenClipPrefix, "text_encoder_2", /*projected=*/true, parts);
  }
}

void add_tokenizers(Generation generation, SingleFileParts& parts) {
  const bool two = generation == Generation::Two;
  if (generation != Generation::XlRefiner)
    parts.components.push_back(clip_tokenizer("tokenizer", two ? "!" : "<|endoftext|>"));
  if (is_xl(generation)) parts.components.push_back(clip_tokenizer("tokenizer_2", "!"));
}

/// model_index.json: also the components that the file lacks.
Config index_of(const SingleFileParts& parts, Generation generation, const Metadata& metadata,
                const std::string& origin) {
  Json index = {{"_class_name", parts.pipeline_class}, {"vae", {"diffusers", "AutoencoderKL"}}};
  if (generation != Generation::XlRefiner)
    index["text_encoder"] = {"transformers", "CLIPTextModel"};
  if (is_xl(generation)) {
    index["text_encoder_2"] = {"transformers", "CLIPTextModelWithProjection"};
    index["force_zeros_for_empty_prompt"] = generation == Generation::Xl;
    index["requires_aesthetics_score"] = generation == Generation::XlRefiner;
  }
  if (const auto found = metadata.find("modelspec.architecture"); found != metadata.end())
    index[found->first] = found->second;
  for (const Component& part : parts.components) index[part.name] = {part.library, part.class_name};
  return Config(std::move(index), origin);
}

/// What the generation tells of its components, whether the file has them or not.
std::map<std::string, Json> untold_of(Generation generation) {
  const Facts facts = facts_of(generation);
  const char* activation = generation == Generation::Two ? "gelu" : "quick_gelu";
  return {
      {"vae", {{"scaling_factor", facts.scaling_factor}, {"sample_size", 8 * facts.latent_size}}},
      {"unet", {{"sample_size", facts.latent_size}}},
      {"text_encoder", {{"hidden_act", activation}}},
      {"text_encoder_2", {{"hidden_act", "gelu"}}}};
}

std::optional<SingleFileParts> recognise(const Source& file, const Metadata& metadata) {
  const Source stored = find_unet(file);
  if (stored == nullptr) return std::nullopt;
  LoneComponent unet = unet_component(stored);
  const Generation generation = generation_of(*file, unet.component);
  SingleFileParts parts;
  parts.untold = untold_of(generation);
  parts.pipeline_class = facts_of(generation).pipeline_class;
  const bool inpainting = unet.component.config.int64_or("in_channels", 4) == 9;
  if (inpainting) parts.pipeline_class.insert(parts.pipeline_class.size() - 8, "Inpaint");
  const std::string prediction = prediction_type(*file, metadata, generation, *stored, inpainting);
  add_component(std::move(unet), "unet", parts);
  if (stored != file) {
    if (auto vae = find_autoencoder(file)) add_component(*std::move(vae), "vae", parts);
    add_text_encoders(file, generation, parts);
  }
  add_tokenizers(generation, parts);
  parts.components.push_back(scheduler_of(*file, generation, prediction));
  parts.index = index_of(parts, generation, metadata, file->origin(""));
  return parts;
}

}  // namespace

const io::SingleFileFormat kSingleFileFormat = {"Stable Diffusion 1.x, 2.x and XL", &recognise};

}  // namespace sdrbee::ldm
