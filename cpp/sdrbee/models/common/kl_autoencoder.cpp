#include "sdrbee/models/common/kl_autoencoder.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/tensor.h>

namespace sdrbee {
namespace {

vae::AutoencoderKl load_network(const io::Component& component, const LoadOptions& options) {
  io::WeightLedger ledger;
  const io::WeightScope scope(*component.weights, ledger, options.dtype, options.device);
  vae::AutoencoderKl network(scope, vae::AutoencoderKlConfig::from(component.config));
  ledger.check_all_taken(*component.weights);
  return network;
}

/// One value for each latent channel, to be broadcast over [B, C, h, w].
Tensor channels(const std::vector<double>& values, Device device) {
  return at::tensor(values, at::TensorOptions().dtype(at::kFloat))
      .reshape({1, -1, 1, 1})
      .to(device);
}

}  // namespace

KlAutoencoder::KlAutoencoder(const io::Component& component, const LoadOptions& options)
    : network_(load_network(component, options)), scale_(network_.config().scaling_factor) {
  const vae::AutoencoderKlConfig& config = network_.config();
  shift_ = channels({config.shift_factor.value_or(0.0)}, options.device);
  deviation_ = channels({1.0}, options.device);
  if (config.latents_mean && config.latents_std) {
    shift_ = channels(*config.latents_mean, options.device);
    deviation_ = channels(*config.latents_std, options.device);
  }
}

LatentPosterior KlAutoencoder::encode(const Tensor& picture) {
  const vae::Posterior posterior = network_.encode(picture);
  const Tensor factor = scale_ / deviation_;
  return {(posterior.mean.to(at::kFloat) - shift_) * factor,
          at::exp(posterior.logvar.to(at::kFloat) * 0.5) * factor};
}

Tensor KlAutoencoder::decode(const Tensor& latents) {
  return network_.decode(latents * deviation_ / scale_ + shift_).to(at::kFloat);
}

}  // namespace sdrbee
