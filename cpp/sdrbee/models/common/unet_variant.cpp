#include "sdrbee/models/common/unet_variant.h"

#include <algorithm>

#include "sdrbee/core/check.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee {

UnetFacts UnetFacts::of(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  const io::Config& unet = checkpoint.component("unet").config;
  const io::Component& scheduler = checkpoint.component("scheduler");
  const auto vae = vae::AutoencoderKlConfig::from(checkpoint.component("vae").config);
  UnetFacts facts;
  facts.context_width = unet.int64s_or("cross_attention_dim", {1280}).front();
  facts.sample_size = unet.int64s_or("sample_size", {64}).front();
  facts.native_inpaint =
      unet.int64_or("in_channels", vae.latent_channels) == 2 * vae.latent_channels + 1;
  facts.distilled_guidance = unet.has("time_cond_proj_dim");
  facts.aesthetic_score = checkpoint.index().bool_or("requires_aesthetics_score", false);
  facts.trailing = scheduler.config.string_or("timestep_spacing", "") == "trailing";
  facts.scheduler_class = scheduler.class_name;
  facts.prediction = options.prediction.empty()
                         ? scheduler.config.string_or("prediction_type", "epsilon")
                         : options.prediction;
  return facts;
}

const UnetVariant& find_variant(const UnetFacts& facts, std::span<const UnetVariant> variants,
                                const LoadOptions& options) {
  const auto found = std::find_if(variants.begin(), variants.end(), [&](const UnetVariant& one) {
    return options.variant.empty() ? one.matches(facts) : one.row.id == options.variant;
  });
  SDRBEE_CHECK(found != variants.end(), "no variant matches");
  return *found;
}

}  // namespace sdrbee
