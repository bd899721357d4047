#include "sdrbee/models/sd3/single_file.h"

#include <array>
#include <string>
#include <utility>

#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/common/single_file_parts.h"
#include "sdrbee/models/sd3/read_config.h"
#include "sdrbee/models/sd3/rename_table.h"

namespace sdrbee::sd3 {
namespace {

using io::Component;
using io::Config;
using io::Json;
using io::LoneComponent;
using io::SingleFileParts;
using Source = std::shared_ptr<const io::WeightSource>;

// Of the autoencoder, see AutoencoderKlConfig.
// https://huggingface.co/stabilityai/stable-diffusion-3-medium-diffusers, vae
constexpr double kScalingFactor = 1.5305;
constexpr double kShiftFactor = 0.0609;
constexpr int64_t kVaeSampleSize = 1024;

/// A text encoder, where the file has it and what its tokenizer pads with.
struct TextPart {
  const char* name;
  const char* prefix;
  const char* class_name;
  const char* tokenizer;
  const char* tokenizer_class;
  const char* pad_token;
  std::string_view hidden_act;  // of a CLIP encoder
};
constexpr std::array<TextPart, 3> kTextParts = {{
    {"text_encoder", "text_encoders.clip_l.transformer.", "CLIPTextModelWithProjection",
     "tokenizer", "CLIPTokenizer", "<|endoftext|>", "quick_gelu"},
    {"text_encoder_2", "text_encoders.clip_g.transformer.", "CLIPTextModelWithProjection",
     "tokenizer_2", "CLIPTokenizer", "!", "gelu"},
    {"text_encoder_3", "text_encoders.t5xxl.transformer.", "T5EncoderModel", "tokenizer_3",
     "T5Tokenizer", "<pad>", ""},
}};

/// The network under diffusers' names; nothing when the file has none.
Source find_network(const Source& file) {
  for (const char* prefix : {"", "model.diffusion_model."}) {
    const Source network = below(file, prefix);
    if (network->find("joint_blocks.0.x_block.attn.qkv.weight"))
      return std::make_shared<io::RenamedWeights>(network, transformer_rules(*network));
    if (network->find("transformer_blocks.0.attn.add_q_proj.weight") &&
        network->find("pos_embed.proj.weight"))
      return network;
  }
  return nullptr;
}

LoneComponent transformer_component(Source weights) {
  ReadConfig config = read_transformer_config(*weights);
  return {.component = {.name = "transformer",
                        .library = "diffusers",
                        .class_name = "SD3Transformer2DModel",
                        .config = std::move(config.told),
                        .weights = std::move(weights),
                        .folder = {}},
          .untold = std::move(config.untold)};
}

/// The text encoder, where the file has it.
void add_text_encoder(const Source& file, const TextPart& part, SingleFileParts& parts) {
  const Source stored = below(file, part.prefix);
  auto found = part.hidden_act.empty() ? find_t5(stored) : find_clip_text(stored);
  if (!found) return;
  found->component.class_name = part.class_name;
  add_component(*std::move(found), part.name, parts);
}

/// https://huggingface.co/stabilityai/stable-diffusion-3-medium-diffusers
Config scheduler_config(const std::string& origin) {
  return Config({{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                 {"num_train_timesteps", 1000},
                 {"shift", 3.0}},
                origin);
}

std::optional<SingleFileParts> recognise(const Source& file,
                                         const std::map<std::string, std::string>&) {
  Source network = find_network(file);
  if (network == nullptr) return std::nullopt;
  SingleFileParts parts;
  parts.pipeline_class = "StableDiffusion3Pipeline";
  parts.untold = {{"vae",
                   {{"scaling_factor", kScalingFactor},
                    {"shift_factor", kShiftFactor},
                    {"sample_size", kVaeSampleSize}}}};
  add_component(transformer_component(std::move(network)), "transformer", parts);
  if (auto vae = find_autoencoder(file)) add_component(*std::move(vae), "vae", parts);
  Json index = {{"_class_name", parts.pipeline_class}, {"vae", {"diffusers", "AutoencoderKL"}}};
  for (const TextPart& part : kTextParts) {
    if (!part.hidden_act.empty()) parts.untold[part.name] = {{"hidden_act", part.hidden_act}};
    add_text_encoder(file, part, parts);
    parts.components.push_back(
        tokenizer_component(part.tokenizer, part.tokenizer_class, {{"pad_token", part.pad_token}}));
    // Also where the file lacks it: then it may come from another one.
    index[part.name] = {"transformers", part.class_name};
  }
  parts.components.push_back(scheduler_component(scheduler_config(file->origin(""))));
  for (const Component& part : parts.components) index[part.name] = {part.library, part.class_name};
  parts.index = Config(std::move(index), file->origin(""));
  return parts;
}

}  // namespace

const io::SingleFileFormat kSingleFileFormat = {"Stable Diffusion 3 and 3.5", &recognise};

}  // namespace sdrbee::sd3
