#include "sdrbee/models/sdxl/sdxl.h"

#include <c10/core/InferenceMode.h>

#include <utility>

#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/unet_model.h"
#include "sdrbee/models/sdxl/config.h"
#include "sdrbee/models/sdxl/prompt_encoder.h"

namespace sdrbee::sdxl {
namespace {

LatentModelParts describe_parts(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  LatentModelParts parts = describe_unet_model(checkpoint, options, "sdxl", unet_variants());
  parts.info.capabilities.framing = true;
  parts.info.align_your_steps_xl = true;
  parts.info.capabilities.prompt_2 = checkpoint.find("text_encoder") != nullptr;
  return parts;
}

}  // namespace

bool recognises(const io::Checkpoint& checkpoint) {
  return checkpoint.find("unet") != nullptr && checkpoint.lists("text_encoder_2") &&
         checkpoint.pipeline_class().starts_with("StableDiffusionXL");
}

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  return describe_parts(checkpoint, options).info;
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  LatentModelParts parts = describe_parts(checkpoint, options);
  parts.prompt_encoder = std::make_unique<XlPromptEncoder>(checkpoint, options);
  parts.autoencoder = load_autoencoder(checkpoint, options, /*upcast=*/true);
  return make_unet_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::sdxl
