#include "sdrbee/models/sdxl/sdxl.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "sdrbee/control/open_control.h"
#include "sdrbee/models/common/clip_text.h"
#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/unet_model.h"
#include "sdrbee/models/sdxl/config.h"
#include "sdrbee/models/sdxl/prompt_encoder.h"

namespace sdrbee::sdxl {
namespace {

int64_t fewest_layers(const io::Checkpoint& checkpoint) {
  const int64_t second = clip_layers(checkpoint, "text_encoder_2");
  if (checkpoint.find("text_encoder") == nullptr) return second;
  return std::min(second, clip_layers(checkpoint, "text_encoder"));
}

}  // namespace

bool recognises(const io::Checkpoint& checkpoint) {
  return checkpoint.find("unet") != nullptr && checkpoint.lists("text_encoder_2") &&
         checkpoint.pipeline_class().starts_with("StableDiffusionXL");
}

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  ModelInfo info = describe_unet_model(checkpoint, options, "sdxl", unet_variants());
  info.capabilities.framing = true;
  info.capabilities.embedding = true;
  info.align_your_steps_xl = true;
  info.max_clip_skip = fewest_layers(checkpoint) - 1;  // the last one is never used
  info.capabilities.prompt_2 = checkpoint.find("text_encoder") != nullptr;
  return info;
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  LatentModelParts parts;
  parts.info = describe(checkpoint, options);
  parts.prompt_encoder = std::make_unique<XlPromptEncoder>(checkpoint, options);
  parts.autoencoder = load_autoencoder(checkpoint, options, /*upcast=*/true);
  parts.open_control = control::unet_controls(checkpoint, options);
  return make_unet_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::sdxl
