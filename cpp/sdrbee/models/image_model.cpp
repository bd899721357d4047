#include "sdrbee/models/image_model.h"

#include <ATen/ops/cat.h>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/models/control_network.h"
#include "sdrbee/models/prompt_check.h"

namespace sdrbee {

Tensor LatentPosterior::sample(const Tensor& noise) const {
  SDRBEE_CHECK(noise.sizes() == mean.sizes(), shape_text(noise.sizes()));
  return mean + deviation * noise.to(mean.device());
}

Tensor mask_by_cells(const Tensor& mask, int64_t cell) {
  SDRBEE_CHECK_SHAPE(mask, {1, 1, -1, -1});
  return mask.slice(2, 0, std::nullopt, cell).slice(3, 0, std::nullopt, cell).contiguous();
}

std::vector<std::string> ImageModel::adapt(std::vector<lora::LoraUse>& loras) {
  if (!loras.empty())
    throw InvalidRequest(message("[loras] the model '", info().variant, "' takes none"));
  return {};
}

Tensor ImageModel::inpaint_channels(const Tensor& mask, const Tensor& masked_latents) const {
  const Tensor cells = mask_by_cells(mask, info().latent_downscale).to(masked_latents.options());
  return at::cat({cells, masked_latents}, 1);
}

std::shared_ptr<const PromptCheck> ImageModel::prompt_check() const { return nullptr; }

std::shared_ptr<ControlNetwork> ImageModel::control(const std::string&) {
  throw InvalidRequest("[controls] this model takes no control networks; leave them out");
}

}  // namespace sdrbee
