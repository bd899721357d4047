#include "sdrbee/models/z_image/single_file.h"

#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/common/single_file_parts.h"
#include "sdrbee/models/z_image/rename_table.h"

namespace sdrbee::z_image {
namespace {

using io::Component;
using io::Config;
using io::Json;
using io::SingleFileParts;
using Source = std::shared_ptr<const io::WeightSource>;

constexpr const char* kQwenPrefix = "text_encoders.qwen3_4b.transformer.";

/// The network's tensors below their prefix; nothing when the file has none.
Source find_network(const Source& file) {
  for (const char* prefix : {"", "model.diffusion_model."})
    if (file->find(message(prefix, "layers.0.adaLN_modulation.0.weight")) &&
        file->find(message(prefix, "cap_embedder.0.weight")))
      return below(file, prefix);
  return nullptr;
}

Component transformer_component(const Source& network) {
  Config config = read_transformer_config(*network);
  std::vector<io::RenameRule> rules = transformer_rules(TransformerConfig::from(config));
  // A file without a prefix may hold other components beside the network.
  for (const char* prefix : {"vae.", "text_encoders."})
    rules.push_back({prefix, {}, io::RenameVerb::Drop});
  return {.name = "transformer",
          .library = "diffusers",
          .class_name = "ZImageTransformer2DModel",
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
  parts.pipeline_class = "ZImagePipeline";
  parts.untold = {{"vae", {{"scaling_factor", 0.3611}, {"shift_factor", 0.1159}}}};
  parts.components.push_back(transformer_component(network));
  if (auto vae = find_autoencoder(file)) add_component(*std::move(vae), "vae", parts);
  if (auto text = find_qwen3(below(file, kQwenPrefix)))
    add_component(*std::move(text), "text_encoder", parts);
  parts.components.push_back(tokenizer_component("tokenizer", "Qwen2Tokenizer", Json::object()));
  // The shift belongs to the variant.
  parts.components.push_back(scheduler_component(
      Config({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"num_train_timesteps", 1000}},
             origin)));
  Json index = {{"_class_name", parts.pipeline_class},
                {"vae", {"diffusers", "AutoencoderKL"}},
                {"text_encoder", {"transformers", "Qwen3Model"}}};
  for (const Component& part : parts.components) index[part.name] = {part.library, part.class_name};
  parts.index = Config(std::move(index), origin);
  return parts;
}

}  // namespace

const io::SingleFileFormat kSingleFileFormat = {"Z-Image", &recognise};

}  // namespace sdrbee::z_image
