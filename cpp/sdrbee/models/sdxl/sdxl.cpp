#include "sdrbee/models/sdxl/sdxl.h"

#include <c10/core/InferenceMode.h>

#include <utility>
#include <vector>

#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/common/unet_model.h"
#include "sdrbee/models/sdxl/config.h"
#include "sdrbee/models/sdxl/prompt_encoder.h"

namespace sdrbee::sdxl {

bool recognises(const io::Checkpoint& checkpoint) {
  return checkpoint.find("unet") != nullptr && checkpoint.find("text_encoder_2") != nullptr &&
         checkpoint.pipeline_class().starts_with("StableDiffusionXL");
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  std::vector<const io::Component*> encoders;
  for (const char* name : {"text_encoder", "text_encoder_2"})
    if (const io::Component* encoder = checkpoint.find(name)) encoders.push_back(encoder);
  check_text_width(checkpoint.component("unet"), encoders);
  check_latent_channels(checkpoint.component("unet"), checkpoint.component("vae"));
  const UnetFacts facts = UnetFacts::of(checkpoint, options);
  const UnetVariant& variant = find_variant(facts, unet_variants(), options);
  UnetModelParts parts;
  parts.info = describe_unet_model(checkpoint, options, facts, variant);
  parts.info.family = "sdxl";
  parts.info.capabilities.framing = true;
  parts.info.capabilities.prompt_2 = checkpoint.find("text_encoder") != nullptr;
  parts.scheduler = scheduler_of(checkpoint, options, variant);
  parts.prompt_encoder = std::make_unique<XlPromptEncoder>(checkpoint, options);
  parts.upcast_autoencoder = true;
  return make_unet_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::sdxl
