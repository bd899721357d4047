#include "sdrbee/models/common/kl_autoencoder.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/out_of_memory.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/nn/circular_padding.h"

namespace sdrbee {
namespace {

using vae::AutoencoderHalf;

/// One of the halves, as a component without the weights of the other.
LazyNetwork<vae::AutoencoderKl> half_of(const io::Component& component, const LoadOptions& options,
                                        AutoencoderHalf half) {
  const bool encoder = half == AutoencoderHalf::Encoder;
  io::Component own = component;
  own.name += encoder ? ".encoder" : ".decoder";
  std::vector<io::RenameRule> rules;
  for (const char* name :
       {encoder ? "decoder." : "encoder.", encoder ? "post_quant_conv." : "quant_conv."})
    rules.push_back({name, {}, io::RenameVerb::Drop});
  own.weights = std::make_shared<io::RenamedWeights>(component.weights, rules);
  return {own, options,
          [config = vae::AutoencoderKlConfig::from(component.config),
           half](const io::WeightScope& scope) { return vae::AutoencoderKl(scope, config, half); }};
}

/// One value for each latent channel, to be broadcast over [B, C, h, w].
Tensor channels(const std::vector<double>& values, Device device) {
  return at::tensor(values, at::TensorOptions().dtype(at::kFloat))
      .reshape({1, -1, 1, 1})
      .to(device);
}

// Pixels a side when memory is short, of a stage's lower resolution; the last stage of a decoder
// and the first of an encoder have half that of the picture.
constexpr int64_t kTile = 96;

}  // namespace

KlAutoencoder::KlAutoencoder(const io::Component& component, const LoadOptions& options)
    : config_(vae::AutoencoderKlConfig::from(component.config)),
      encoder_(half_of(component, options, AutoencoderHalf::Encoder)),
      decoder_(half_of(component, options, AutoencoderHalf::Decoder)) {
  shift_ = channels({config_.shift_factor.value_or(0.0)}, options.device);
  deviation_ = channels({1.0}, options.device);
  if (config_.latents_mean && config_.latents_std) {
    shift_ = channels(*config_.latents_mean, options.device);
    deviation_ = channels(*config_.latents_std, options.device);
  }
}

template <typename Work>
auto KlAutoencoder::whole_or_in_tiles(int64_t picture_side, const char* verb, const Work& work) {
  try {
    return work(std::optional<int64_t>());
  } catch (const std::exception& error) {
    // Tiles see zeros or their neighbours at their edges, not the picture's opposite edge.
    if (!is_out_of_memory(error) || picture_side <= 2 * kTile || nn::CircularPadding::acts()) throw;
  }
  auto result = work(std::optional(kTile));
  std::string warning = message("memory was too small for the whole picture: it was ", verb,
                                " in tiles, which takes longer and differs by rounding only");
  if (std::ranges::find(warnings_, warning) == warnings_.end())
    warnings_.push_back(std::move(warning));
  return result;
}

LatentPosterior KlAutoencoder::encode(const Tensor& picture) {
  const vae::AutoencoderKl& network = encoder_.use();
  const vae::Posterior posterior = whole_or_in_tiles(
      std::max(picture.size(2), picture.size(3)), "encoded",
      [&](const std::optional<int64_t>& tile) { return network.encode(picture, tile); });
  const Tensor factor = config_.scaling_factor / deviation_;
  return {(posterior.mean.to(at::kFloat) - shift_) * factor,
          at::exp(posterior.logvar.to(at::kFloat) * 0.5) * factor};
}

Tensor KlAutoencoder::decode(const Tensor& latents) {
  const vae::AutoencoderKl& network = decoder_.use();
  const Tensor stored = latents * deviation_ / config_.scaling_factor + shift_;
  return whole_or_in_tiles(
             std::max(stored.size(2), stored.size(3)) * config_.downscale(), "decoded",
             [&](const std::optional<int64_t>& tile) { return network.decode(stored, tile); })
      .to(at::kFloat);
}

std::vector<std::string> KlAutoencoder::take_warnings() { return std::exchange(warnings_, {}); }

std::unique_ptr<Autoencoder> load_autoencoder(const io::Checkpoint& checkpoint, LoadOptions options,
                                              bool upcast) {
  const io::Component& component = checkpoint.component("vae", "AutoencoderKL");
  if (upcast && options.dtype == Dtype::Half &&
      vae::AutoencoderKlConfig::from(component.config).force_upcast)
    options.dtype = Dtype::Float;
  return std::make_unique<KlAutoencoder>(component, options);
}

}  // namespace sdrbee
