#include "sdrbee/models/flux2/single_file.h"

#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/common/single_file_parts.h"
#include "sdrbee/models/flux2/rename_table.h"

namespace sdrbee::flux2 {
namespace {

using io::Component;
using io::Config;
using io::Json;
using io::SingleFileParts;
using Source = std::shared_ptr<const io::WeightSource>;

/// The network's tensors below their prefix; nothing when the file has none.
Source find_network(const Source& file) {
  for (const char* prefix : {"", "model.diffusion_model."})
    if (file->find(message(prefix, "double_stream_modulation_img.lin.weight")))
      return below(file, prefix);
  return nullptr;
}

Component transformer_component(const Source& network) {
  Config config = read_transformer_config(*network);
  const auto rules = transformer_rules(TransformerConfig::from(config));
  return {.name = "transformer",
          .library = "diffusers",
          .class_name = "Flux2Transformer2DModel",
          .config = std::move(config),
          .weights = std::make_shared<io::RenamedWeights>(network, rules),
          .folder = {}};
}

std::optional<SingleFileParts> recognise(const Source& file,
                                         const std::map<std::string, std::string>&) {
  const Source network = find_network(file);
  if (network == nullptr) return std::nullopt;
  const std::string origin = file->origin("");
  SingleFileParts parts;
  parts.pipeline_class = "Flux2KleinPipeline";
  parts.components.push_back(transformer_component(network));
  parts.components.push_back(tokenizer_component("tokenizer", "Qwen2Tokenizer", Json::object()));
  // https://huggingface.co/black-forest-labs/FLUX.2-klein-4B/blob/main/scheduler
  parts.components.push_back(
      scheduler_component(Config({{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                                  {"num_train_timesteps", 1000},
                                  {"shift", 3.0},
                                  {"use_dynamic_shifting", true}},
                                 origin)));
  Json index = {{"_class_name", parts.pipeline_class},
                {"vae", {"diffusers", "AutoencoderKLFlux2"}},
                {"text_encoder", {"transformers", "Qwen3ForCausalLM"}}};
  for (const Component& part : parts.components) index[part.name] = {part.library, part.class_name};
  parts.index = Config(std::move(index), origin);
  return parts;
}

}  // namespace

const io::SingleFileFormat kSingleFileFormat = {"FLUX.2", &recognise};

}  // namespace sdrbee::flux2
