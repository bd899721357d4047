#include "sdrbee/models/z_image/z_image.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/common/describe_model.h"
#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/latent_model.h"
#include "sdrbee/models/z_image/denoiser.h"
#include "sdrbee/models/z_image/lora_names.h"
#include "sdrbee/models/z_image/prompt_encoder.h"

namespace sdrbee::z_image {
namespace {

constexpr const char* kNetworkClass = "ZImageTransformer2DModel";
constexpr int64_t kDefaultCells = 128;

/// The checkpoint's network, which must belong to its autoencoder.
TransformerConfig checked_config(const io::Checkpoint& checkpoint) {
  const io::Component& network = checkpoint.component("transformer", kNetworkClass);
  const auto config = TransformerConfig::from(network.config);
  check_latent_channels(network, {config.in_channels, config.in_channels},
                        checkpoint.component("vae"));
  return config;
}

ModelInfo describe_as(const io::Checkpoint& checkpoint, const LoadOptions& options,
                      const Variant& variant) {
  const TransformerConfig network = checked_config(checkpoint);
  ModelInfo info = describe_model(checkpoint, options,
                                  {.family = "z_image",
                                   .id = variant.row.id,
                                   .text_to_image = variant.text_to_image,
                                   .image_to_image = variant.image_to_image,
                                   .inpaint = variant.inpaint,
                                   .default_cells = kDefaultCells,
                                   .cells_per_token = kPatch,
                                   .looks_like = variant.looks_like});
  info.scheduler.whole_flow = true;
  info.capabilities.lora = true;
  if (checkpoint.layout() == io::CheckpointLayout::SingleFile) info.scheduler.shift = variant.shift;
  info.neutral_guidance_scale = 0.0;
  // The network has positions for no more.
  info.sequence_limit = std::min(info.sequence_limit, network.most_text_tokens());
  info.max_sequence_length = info.sequence_limit;
  const int64_t positions = std::min(network.axes_lens[1], network.axes_lens[2]);
  info.sizes.maximum = std::min(info.sizes.maximum, positions * info.sizes.multiple);
  return info;
}

}  // namespace

bool recognises(const io::Checkpoint& checkpoint) {
  const io::Component* network = checkpoint.find("transformer");
  return network != nullptr && network->class_name == kNetworkClass &&
         checkpoint.pipeline_class().starts_with("ZImage");
}

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  return describe_as(checkpoint, options, find_variant(checkpoint, options));
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  const Variant& variant = find_variant(checkpoint, options);
  LatentModelParts parts;
  parts.info = describe_as(checkpoint, options, variant);
  parts.prompt_encoder = std::make_unique<ZImagePromptEncoder>(checkpoint, options);
  parts.denoiser = std::make_unique<ZImageDenoiser>(checkpoint.component("transformer"), options);
  parts.autoencoder = load_autoencoder(checkpoint, options);
  parts.lora_names = lora_names(checked_config(checkpoint));
  return make_latent_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::z_image
