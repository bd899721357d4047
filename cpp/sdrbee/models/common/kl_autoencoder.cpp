#include "sdrbee/models/common/kl_autoencoder.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/out_of_memory.h"
#include "sdrbee/models/common/load_network.h"
#include "sdrbee/nn/circular_padding.h"

namespace sdrbee {
namespace {

vae::AutoencoderKl load(const io::Component& component, const LoadOptions& options) {
  return load_network(component, options, [&](const io::WeightScope& scope) {
    return vae::AutoencoderKl(scope, vae::AutoencoderKlConfig::from(component.config));
  });
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
    : network_(load(component, options)), scale_(network_.config().scaling_factor) {
  const vae::AutoencoderKlConfig& config = network_.config();
  shift_ = channels({config.shift_factor.value_or(0.0)}, options.device);
  deviation_ = channels({1.0}, options.device);
  if (config.latents_mean && config.latents_std) {
    shift_ = channels(*config.latents_mean, options.device);
    deviation_ = channels(*config.latents_std, options.device);
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
  const vae::Posterior posterior = whole_or_in_tiles(
      std::max(picture.size(2), picture.size(3)), "encoded",
      [&](const std::optional<int64_t>& tile) { return network_.encode(picture, tile); });
  const Tensor factor = scale_ / deviation_;
  return {(posterior.mean.to(at::kFloat) - shift_) * factor,
          at::exp(posterior.logvar.to(at::kFloat) * 0.5) * factor};
}

Tensor KlAutoencoder::decode(const Tensor& latents) {
  const Tensor stored = latents * deviation_ / scale_ + shift_;
  return whole_or_in_tiles(
             std::max(stored.size(2), stored.size(3)) * network_.config().downscale(), "decoded",
             [&](const std::optional<int64_t>& tile) { return network_.decode(stored, tile); })
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
