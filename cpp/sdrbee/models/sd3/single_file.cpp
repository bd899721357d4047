#include "sdrbee/models/sd3/single_file.h"

#include <array>
#include <string>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/diffusers_folder.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/ldm_rename_table.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/models/sd3/read_config.h"
#include "sdrbee/models/sd3/rename_table.h"

namespace sdrbee::sd3 {
namespace {

using io::Component;
using io::Config;
using io::Json;
using io::SingleFileParts;
using Source = std::shared_ptr<const io::WeightSource>;

constexpr const char* kPrefix = "model.diffusion_model.";
constexpr const char* kAutoencoderPrefix = "first_stage_model.";
constexpr const char* kFirstBlock = "joint_blocks.0.x_block.attn.qkv.weight";

/// A text encoder, where the file has it and what its tokenizer pads with.
struct TextPart {
  const char* name;
  const char* prefix;
  const char* class_name;
  const char* tokenizer;
  const char* tokenizer_class;
  const char* pad_token;
  const char* hidden_act;
};
constexpr std::array<TextPart, 3> kTextParts = {{
    {"text_encoder", "text_encoders.clip_l.transformer.", "CLIPTextModelWithProjection",
     "tokenizer", "CLIPTokenizer", "<|endoftext|>", "quick_gelu"},
    {"text_encoder_2", "text_encoders.clip_g.transformer.", "CLIPTextModelWithProjection",
     "tokenizer_2", "CLIPTokenizer", "!", "gelu"},
    {"text_encoder_3", "text_encoders.t5xxl.transformer.", "T5EncoderModel", "tokenizer_3",
     "T5Tokenizer", "<pad>", ""},
}};

Source below(const Source& file, const char* prefix) {
  return std::make_shared<io::SubsetWeights>(file, prefix);
}

Component transformer_component(const Source& file, const char* prefix) {
  const Source stored = below(file, prefix);
  Config config = read_transformer_config(*stored);
  auto weights = std::make_shared<io::RenamedWeights>(
      stored, transformer_rules(TransformerConfig::from(config)));
  return {.name = "transformer",
          .library = "diffusers",
          .class_name = "SD3Transformer2DModel",
          .config = std::move(config),
          .weights = std::move(weights),
          .folder = {}};
}

Component autoencoder_component(const Source& file) {
  const Source stored = below(file, kAutoencoderPrefix);
  const auto rules =
      ldm::vae_rules(count_numbered(*stored, "encoder.down.", ".block.0.norm1.weight"),
                     count_numbered(*stored, "encoder.down.0.block.", ".norm1.weight"));
  auto weights = std::make_shared<io::RenamedWeights>(stored, rules);
  return {.name = "vae",
          .library = "diffusers",
          .class_name = "AutoencoderKL",
          .config = read_autoencoder_config(*weights),
          .weights = std::move(weights),
          .folder = {}};
}

/// The text encoder, where the file has it.
void add_text_part(const Source& file, const TextPart& part, SingleFileParts& parts) {
  const bool clip = std::string_view(part.hidden_act) != "";
  const char* first = clip ? "text_model.embeddings.token_embedding.weight" : "shared.weight";
  if (!file->find(message(part.prefix, first))) return;
  const Source weights = io::with_current_names(below(file, part.prefix), part.class_name);
  parts.components.push_back(
      {.name = part.name,
       .library = "transformers",
       .class_name = part.class_name,
       .config = clip ? read_clip_config(*weights, part.hidden_act) : read_t5_config(*weights),
       .weights = weights,
       .folder = {}});
}

void add_tokenizer(const TextPart& part, SingleFileParts& parts) {
  parts.components.push_back({.name = part.tokenizer,
                              .library = "transformers",
                              .class_name = part.tokenizer_class,
                              .config = Config(Json{{"pad_token", part.pad_token}}),
                              .weights = nullptr,
                              .folder = {}});
}

/// https://huggingface.co/stabilityai/stable-diffusion-3-medium-diffusers
Component scheduler_component(const std::string& origin) {
  return {.name = "scheduler",
          .library = "diffusers",
          .class_name = "FlowMatchEulerDiscreteScheduler",
          .config = Config({{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                            {"num_train_timesteps", 1000},
                            {"shift", 3.0}},
                           origin),
          .weights = nullptr,
          .folder = {}};
}

std::optional<SingleFileParts> recognise(const Source& file,
                                         const std::map<std::string, std::string>&) {
  const bool prefixed = file->find(message(kPrefix, kFirstBlock)).has_value();
  if (!prefixed && !file->find(kFirstBlock)) return std::nullopt;
  SingleFileParts parts;
  parts.pipeline_class = "StableDiffusion3Pipeline";
  parts.components.push_back(transformer_component(file, prefixed ? kPrefix : ""));
  if (file->find(message(kAutoencoderPrefix, "encoder.conv_in.weight")))
    parts.components.push_back(autoencoder_component(file));
  parts.untold = {{"vae", {{"scaling_factor", kScalingFactor}, {"shift_factor", kShiftFactor}}}};
  Json index = {{"_class_name", parts.pipeline_class}, {"vae", {"diffusers", "AutoencoderKL"}}};
  for (const TextPart& part : kTextParts) {
    add_text_part(file, part, parts);
    add_tokenizer(part, parts);
    // Also where the file lacks it: then it may come from another one.
    index[part.name] = {"transformers", part.class_name};
    if (*part.hidden_act != '\0') parts.untold[part.name] = {{"hidden_act", part.hidden_act}};
  }
  parts.components.push_back(scheduler_component(file->origin("")));
  for (const Component& part : parts.components) index[part.name] = {part.library, part.class_name};
  parts.index = Config(std::move(index), file->origin(""));
  return parts;
}

}  // namespace

const io::SingleFileFormat kSingleFileFormat = {"Stable Diffusion 3 and 3.5", &recognise};

}  // namespace sdrbee::sd3
