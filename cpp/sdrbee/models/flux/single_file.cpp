#include "sdrbee/models/flux/single_file.h"

#include <string>
#include <utility>
#include <vector>

#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/common/single_file_parts.h"
#include "sdrbee/models/flux/patches.h"
#include "sdrbee/models/flux/rename_table.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {
namespace {

using io::Component;
using io::Config;
using io::Json;
using io::LoneComponent;
using io::SingleFileParts;
using Source = std::shared_ptr<const io::WeightSource>;

// Full checkpoints are those of ComfyUI.
constexpr const char* kClipPrefix = "text_encoders.clip_l.transformer.";
constexpr const char* kT5Prefix = "text_encoders.t5xxl.transformer.";

bool is_original(const io::WeightSource& network) {
  return network.find("double_blocks.0.img_attn.norm.key_norm.scale").has_value();
}

bool is_current(const io::WeightSource& network) {
  return network.find("transformer_blocks.0.attn.norm_added_k.weight") &&
         network.find("single_transformer_blocks.0.proj_mlp.weight");
}

/// The network's tensors below their prefix; nothing when the file has none.
Source find_network(const Source& file) {
  for (const char* prefix : {"", "model.diffusion_model."})
    if (const Source network = below(file, prefix); is_original(*network) || is_current(*network))
      return network;
  return nullptr;
}

void refuse_relatives(const io::WeightSource& network) {
  if (const std::string name = "distilled_guidance_layer.in_proj.bias"; network.find(name))
    throw UnsupportedModel(
        message("[", network.origin(name), "] Chroma is not supported, only FLUX"));
}

/// The network under diffusers' names; a file without a prefix may hold other components, too.
Source only_network(const Source& network) {
  auto rules = is_original(*network) ? transformer_rules(*network) : std::vector<io::RenameRule>();
  for (const char* prefix : {"vae.", "first_stage_model.", "text_encoders."})
    rules.push_back({prefix, {}, io::RenameVerb::Drop});
  return std::make_shared<io::RenamedWeights>(network, rules);
}

Component transformer_component(const Source& stored) {
  Source weights = only_network(stored);
  Config config = read_transformer_config(*weights);
  return {.name = "transformer",
          .library = "diffusers",
          .class_name = "FluxTransformer2DModel",
          .config = std::move(config),
          .weights = std::move(weights),
          .folder = {}};
}

/// https://huggingface.co/black-forest-labs/FLUX.1-dev and FLUX.1-schnell, scheduler
Config scheduler_config(bool guided, const std::string& origin) {
  return Config({{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                 {"num_train_timesteps", 1000},
                 {"shift", guided ? 3.0 : 1.0},
                 {"use_dynamic_shifting", guided}},
                origin);
}

void add(std::optional<LoneComponent> found, const char* name, SingleFileParts& parts) {
  if (found) add_component(*std::move(found), name, parts);
}

/// The class that diffusers would choose: by the channels that the network takes beside latents.
const char* pipeline_class(const TransformerConfig& config) {
  if (config.in_channels == config.out_channels) return "FluxPipeline";
  return config.in_channels == 2 * config.out_channels ? "FluxControlPipeline" : "FluxFillPipeline";
}

/// model_index.json: also the components that the file lacks.
Json index_of(const SingleFileParts& parts) {
  Json index = {{"_class_name", parts.pipeline_class},
                {"vae", {"diffusers", "AutoencoderKL"}},
                {"text_encoder", {"transformers", "CLIPTextModel"}},
                {"text_encoder_2", {"transformers", "T5EncoderModel"}}};
  for (const Component& part : parts.components) index[part.name] = {part.library, part.class_name};
  return index;
}

std::optional<SingleFileParts> recognise(const Source& file,
                                         const std::map<std::string, std::string>&) {
  const Source network = find_network(file);
  if (network == nullptr) return std::nullopt;
  refuse_relatives(*network);
  SingleFileParts parts;
  parts.untold = {{"vae", {{"scaling_factor", 0.3611}, {"shift_factor", 0.1159}}},
                  {"text_encoder", {{"hidden_act", "quick_gelu"}}}};
  parts.components.push_back(transformer_component(network));
  const auto config = TransformerConfig::from(parts.components.front().config);
  parts.pipeline_class = pipeline_class(config);
  add(find_autoencoder(file), "vae", parts);
  add(find_clip_text(below(file, kClipPrefix), /*projected=*/false), "text_encoder", parts);
  add(find_t5(below(file, kT5Prefix)), "text_encoder_2", parts);
  parts.components.push_back(tokenizer_component(
      "tokenizer", "CLIPTokenizer", {{"pad_token", "<|endoftext|>"}, {"model_max_length", 77}}));
  parts.components.push_back(tokenizer_component("tokenizer_2", "T5Tokenizer", Json::object()));
  parts.components.push_back(
      scheduler_component(scheduler_config(config.guidance_embeds, file->origin(""))));
  parts.index = Config(index_of(parts), file->origin(""));
  return parts;
}

}  // namespace

const io::SingleFileFormat kSingleFileFormat = {"FLUX.1", &recognise};

}  // namespace sdrbee::flux
