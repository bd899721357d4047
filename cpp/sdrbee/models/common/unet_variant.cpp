#include "sdrbee/models/common/unet_variant.h"

#include <algorithm>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee {
namespace {

[[noreturn]] void refuse_variant(const UnetFacts& facts, std::span<const UnetVariant> variants,
                                 const std::string& variant) {
  std::string fitting;
  for (const UnetVariant& one : variants)
    if (one.fits(facts)) fitting += message(fitting.empty() ? "'" : ", '", one.row.id, "'");
  throw InvalidRequest(message("[variant] '", variant, "' has a network of other inputs than this ",
                               "model's, which can be: ", fitting));
}

}  // namespace

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
  facts.architecture = checkpoint.index().string_or("modelspec.architecture", "");
  return facts;
}

bool calls_itself(const UnetFacts& facts, const UnetVariant& variant) {
  return !facts.architecture.empty() && variant.row.is_called(facts.architecture);
}

const UnetVariant& find_variant(const UnetFacts& facts, std::span<const UnetVariant> variants,
                                const LoadOptions& options) {
  const auto first = [&](const auto& wanted) {
    return std::find_if(variants.begin(), variants.end(),
                        [&](const UnetVariant& one) { return one.fits(facts) && wanted(one); });
  };
  if (!options.variant.empty()) {
    const auto named = first([&](const UnetVariant& one) { return one.row.id == options.variant; });
    if (named == variants.end()) refuse_variant(facts, variants, options.variant);
    return *named;
  }
  auto found = first([&](const UnetVariant& one) { return calls_itself(facts, one); });
  if (found == variants.end())
    found = first([&](const UnetVariant& one) { return one.tells == nullptr || one.tells(facts); });
  SDRBEE_CHECK(found != variants.end(), "no variant matches");
  return *found;
}

}  // namespace sdrbee
