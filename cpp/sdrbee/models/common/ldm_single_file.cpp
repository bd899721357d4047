#include "sdrbee/models/common/ldm_single_file.h"

#include <ATen/ops/std.h>

#include <algorithm>
#include <string>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/diffusers_folder.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/ldm_config.h"
#include "sdrbee/models/common/ldm_rename_table.h"

namespace sdrbee::ldm {
namespace {

using io::Component;
using io::Config;
using io::Json;
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

enum class Generation { One, Two, Xl, XlRefiner };

std::string unet_name(std::string_view name) { return message(kUnetPrefix, name); }

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

Generation generation_of(const WeightSource& file) {
  if (file.find("edm_mean"))
    throw UnsupportedModel(message("[", file.origin(""), "] Playground 2.5 and other XL models in ",
                                   "EDM's parametrisation are not supported"));
  if (has_prefix(file, kRefinerPrefix)) return Generation::XlRefiner;
  if (file.find(unet_name("label_emb.weight")))
    throw UnsupportedModel(message("[", file.origin(""), "] the 2.x upscaler is not supported"));
  if (file.find(unet_name("label_emb.0.0.weight"))) return Generation::Xl;
  const auto cross =
      file.find(unet_name("input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"));
  const bool wide = cross && cross->shape.size() == 2 && cross->shape[1] == 1024;
  return wide || has_prefix(file, kOpenClipPrefix) ? Generation::Two : Generation::One;
}

/// Models trained on v have a wider spread in this bias; the threshold is the one that ComfyUI and
/// A1111 users rely on.
/// https://github.com/comfyanonymous/ComfyUI/blob/master/comfy/supported_models.py
bool spread_says_velocity(const WeightSource& file) {
  const std::string name = unet_name("output_blocks.11.1.transformer_blocks.0.norm1.bias");
  if (!file.find(name)) return false;
  return at::std(file.read(name).to(Dtype::Float), /*unbiased=*/false).item<double>() > 0.09;
}

std::string prediction_type(const WeightSource& file, const Metadata& metadata,
                            Generation generation, bool inpainting) {
  if (const auto found = metadata.find("modelspec.prediction_type"); found != metadata.end()) {
    if (found->second == "v") return "v_prediction";
    if (found->second == "epsilon") return "epsilon";
  }
  if (file.find("v_pred")) return "v_prediction";
  const bool undecided = generation == Generation::Two && !inpainting;
  return undecided && spread_says_velocity(file) ? "v_prediction" : "epsilon";
}

Component unet_component(const Source& file, Generation generation) {
  const auto stored = std::make_shared<io::SubsetWeights>(file, kUnetPrefix);
  Json config = unet_config(*stored).json();
  const UnetLayout layout = {std::ssize(config["block_out_channels"]),
                             config["layers_per_block"].get<int64_t>()};
  config["sample_size"] = facts_of(generation).latent_size;
  return {.name = "unet",
          .library = "diffusers",
          .class_name = "UNet2DConditionModel",
          .config = Config(std::move(config), file->origin("")),
          .weights = std::make_shared<io::RenamedWeights>(stored, unet_rules(layout)),
          .folder = {}};
}

Component vae_component(const Source& file, Generation generation) {
  const char* prefix = has_prefix(*file, "first_stage_model.") ? "first_stage_model." : "vae.";
  const auto stored = std::make_shared<io::SubsetWeights>(file, prefix);
  Json config = vae_config(*stored).json();
  config["scaling_factor"] = facts_of(generation).scaling_factor;
  config["sample_size"] = 8 * facts_of(generation).latent_size;
  config["force_upcast"] = true;
  const auto rules = vae_rules(std::ssize(config["block_out_channels"]),
                               config["layers_per_block"].get<int64_t>());
  return {.name = "vae",
          .library = "diffusers",
          .class_name = "AutoencoderKL",
          .config = Config(std::move(config), file->origin("")),
          .weights = io::with_current_names(std::make_shared<io::RenamedWeights>(stored, rules),
                                            "AutoencoderKL"),
          .folder = {}};
}

Component text_component(const char* name, const char* class_name, Source weights,
                         const char* hidden_act) {
  Config config = clip_text_config(*weights, hidden_act);
  return {.name = name,
          .library = "transformers",
          .class_name = class_name,
          .config = std::move(config),
          .weights = std::move(weights),
          .folder = {}};
}

/// CLIP as transformers names it, below a prefix.
Component clip_component(const Source& file, const char* prefix) {
  return text_component(
      "text_encoder", "CLIPTextModel",
      io::with_current_names(std::make_shared<io::SubsetWeights>(file, prefix), "CLIPTextModel"),
      "quick_gelu");
}

Component open_clip_component(const Source& file, const char* prefix, Generation generation) {
  const auto stored = std::make_shared<io::SubsetWeights>(file, prefix);
  int64_t layers = 0;
  while (stored->find("transformer.resblocks." + std::to_string(layers) + ".ln_1.weight")) ++layers;
  const bool xl = is_xl(generation);
  const auto rules = open_clip_rules(layers, /*penultimate_only=*/!xl);
  return text_component(xl ? "text_encoder_2" : "text_encoder",
                        xl ? "CLIPTextModelWithProjection" : "CLIPTextModel",
                        std::make_shared<io::RenamedWeights>(stored, rules), "gelu");
}

Component tokenizer_component(const char* name, const char* pad_token) {
  return {.name = name,
          .library = "transformers",
          .class_name = "CLIPTokenizer",
          .config = Config(Json{{"pad_token", pad_token}, {"model_max_length", 77}}),
          .weights = nullptr,
          .folder = {}};
}

Component scheduler_component(const WeightSource& file, Generation generation,
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
  return {.name = "scheduler",
          .library = "diffusers",
          .class_name = class_name,
          .config = Config(std::move(config), file.origin("")),
          .weights = nullptr,
          .folder = {}};
}

void add_text_encoders(const Source& file, Generation generation,
                       std::vector<Component>& components) {
  const auto add_clip = [&](const char* prefix) {
    if (!has_prefix(*file, prefix)) return;
    components.push_back(clip_component(file, prefix));
    components.push_back(tokenizer_component("tokenizer", "<|endoftext|>"));
  };
  if (generation == Generation::One) add_clip(kClipPrefix);
  if (generation == Generation::Xl) add_clip(kXlClipPrefix);
  const bool xl = is_xl(generation);
  const char* prefix = generation == Generation::XlRefiner ? kRefinerPrefix
                       : xl                                ? kXlOpenClipPrefix
                                                           : kOpenClipPrefix;
  if (generation == Generation::One || !has_prefix(*file, prefix)) return;
  components.push_back(open_clip_component(file, prefix, generation));
  components.push_back(tokenizer_component(xl ? "tokenizer_2" : "tokenizer", "!"));
}

std::optional<SingleFileParts> recognise(const Source& file, const Metadata& metadata) {
  if (!file->find(unet_name("input_blocks.0.0.weight"))) return std::nullopt;
  const Generation generation = generation_of(*file);
  SingleFileParts parts;
  parts.pipeline_class = facts_of(generation).pipeline_class;
  parts.components.push_back(unet_component(file, generation));
  const bool inpainting = parts.components.front().config.int64_or("in_channels", 4) == 9;
  if (inpainting) parts.pipeline_class.insert(parts.pipeline_class.size() - 8, "Inpaint");
  if (has_prefix(*file, "first_stage_model.") || has_prefix(*file, "vae."))
    parts.components.push_back(vae_component(file, generation));
  add_text_encoders(file, generation, parts.components);
  parts.components.push_back(scheduler_component(
      *file, generation, prediction_type(*file, metadata, generation, inpainting)));
  Json index = {{"_class_name", parts.pipeline_class}};
  if (is_xl(generation)) {
    index["force_zeros_for_empty_prompt"] = generation == Generation::Xl;
    index["requires_aesthetics_score"] = generation == Generation::XlRefiner;
  }
  if (const auto found = metadata.find("modelspec.architecture"); found != metadata.end())
    index[found->first] = found->second;
  for (const Component& part : parts.components) index[part.name] = {part.library, part.class_name};
  parts.index = Config(std::move(index), file->origin(""));
  return parts;
}

}  // namespace

const io::SingleFileFormat kSingleFileFormat = {"Stable Diffusion 1.x, 2.x and XL", &recognise};

}  // namespace sdrbee::ldm
