#include "sdrbee/models/flux2/flux2.h"

#include <c10/core/InferenceMode.h>

#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/common/describe_model.h"
#include "sdrbee/models/common/latent_model.h"
#include "sdrbee/models/flux2/autoencoder.h"
#include "sdrbee/models/flux2/denoiser.h"
#include "sdrbee/models/flux2/lora_names.h"
#include "sdrbee/models/flux2/prompt_encoder.h"

namespace sdrbee::flux2 {
namespace {

constexpr const char* kNetworkClass = "Flux2Transformer2DModel";
constexpr int64_t kDefaultCells = 128;  // of the autoencoder inside
constexpr int64_t kMaxSequenceLength = 512;
constexpr int64_t kReferenceArea = 1024 * 1024;

void check_latent_channels(const io::Checkpoint& checkpoint) {
  const io::Component& network = checkpoint.component("transformer", kNetworkClass);
  const io::Component& vae = checkpoint.component("vae", "AutoencoderKLFlux2");
  const auto config = TransformerConfig::from(network.config);
  const int64_t channels =
      kPatch * kPatch * vae::AutoencoderKlConfig::from(vae.config).latent_channels;
  const std::string reason = message("4 times the 'latent_channels' of ", vae.config.origin());
  require_equal(network, "in_channels", config.in_channels, channels, reason);
  require_equal(network, "out_channels", config.out_channels, channels, reason);
}

ModelInfo describe_as(const io::Checkpoint& checkpoint, const LoadOptions& options,
                      const Variant& variant) {
  check_latent_channels(checkpoint);
  ModelInfo info = describe_model(checkpoint, options,
                                  {.family = "flux2",
                                   .id = variant.row.id,
                                   .text_to_image = variant.defaults,
                                   .image_to_image = variant.defaults,
                                   .inpaint = variant.defaults,
                                   .default_cells = kDefaultCells,
                                   .cells_per_token = kPatch,
                                   .looks_like = variant.looks_like});
  info.scheduler.whole_flow = true;
  info.fitted_shift = &fitted_shift;
  info.capabilities = variant.capabilities;
  info.capabilities.lora = true;
  info.max_sequence_length = kMaxSequenceLength;
  info.reference_area = kReferenceArea;
  info.latent_channels *= kPatch * kPatch;
  info.latent_downscale *= kPatch;
  return info;
}

}  // namespace

double fitted_shift(int64_t tokens, int64_t steps) {
  constexpr int64_t kLargePicture = 4300;
  const auto count = static_cast<double>(tokens);
  const double of_200 = 0.00016927 * count + 0.45666666;
  if (tokens > kLargePicture) return of_200;
  const double of_10 = 8.73809524e-05 * count + 1.89833333;
  const double slope = (of_200 - of_10) / 190.0;
  return slope * static_cast<double>(steps) + (of_200 - 200.0 * slope);
}

bool recognises(const io::Checkpoint& checkpoint) {
  const io::Component* network = checkpoint.find("transformer");
  return network != nullptr && network->class_name == kNetworkClass &&
         checkpoint.pipeline_class().starts_with("Flux2Klein");
}

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  return describe_as(checkpoint, options, find_variant(checkpoint, options));
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  LatentModelParts parts;
  parts.info = describe(checkpoint, options);
  parts.prompt_encoder = std::make_unique<Flux2PromptEncoder>(checkpoint, options);
  parts.denoiser = std::make_unique<Flux2Denoiser>(checkpoint.component("transformer"), options);
  parts.autoencoder = std::make_unique<Flux2Autoencoder>(checkpoint.component("vae"), options);
  const io::Component& network = checkpoint.component("transformer");
  parts.lora_names = lora_names(TransformerConfig::from(network.config));
  return make_latent_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::flux2
