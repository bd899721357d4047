#include "sdrbee/models/flux2/autoencoder.h"

#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/pixel_unshuffle.h>
#include <ATen/ops/sqrt.h>

#include <memory>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"

namespace sdrbee::flux2 {
namespace {

/// The networks inside, as an AutoencoderKL whose latents need no scale.
io::Component inner_component(io::Component component) {
  component.config.require("decoder_block_out_channels", nullptr);
  component.config.require("patch_size", io::Json{kPatch, kPatch});
  io::Json json = component.config.json();
  json["scaling_factor"] = 1.0;
  component.config = io::Config(std::move(json), component.config.origin());
  const std::vector<io::RenameRule> rules = {{"bn.", {}, io::RenameVerb::Drop}};
  component.weights = std::make_shared<io::RenamedWeights>(component.weights, rules);
  return component;
}

/// One of the statistics, [1, C, 1, 1].
Tensor statistic(const io::Component& component, const char* name, Device device) {
  const int64_t channels =
      kPatch * kPatch * vae::AutoencoderKlConfig::from(component.config).latent_channels;
  io::WeightLedger ledger;
  const io::WeightScope scope(*component.weights, ledger, Dtype::Float, device);
  return scope.take(name, {channels}).view({1, -1, 1, 1});
}

}  // namespace

Flux2Autoencoder::Flux2Autoencoder(const io::Component& component, const LoadOptions& options)
    : inner_(inner_component(component), options),
      mean_(statistic(component, "bn.running_mean", options.device)) {
  const double eps = component.config.double_or("batch_norm_eps", 1e-4);
  deviation_ = at::sqrt(statistic(component, "bn.running_var", options.device) + eps);
}

LatentPosterior Flux2Autoencoder::encode(const Tensor& picture) {
  const LatentPosterior posterior = inner_.encode(picture);
  return {(pack(posterior.mean) - mean_) / deviation_, pack(posterior.deviation) / deviation_};
}

Tensor Flux2Autoencoder::decode(const Tensor& latents) {
  return inner_.decode(unpack(latents * deviation_ + mean_));
}

Tensor pack(const Tensor& latents) {
  SDRBEE_CHECK_SHAPE(latents, {-1, -1, -1, -1});
  return at::pixel_unshuffle(latents, kPatch);
}

Tensor unpack(const Tensor& packed) {
  SDRBEE_CHECK_SHAPE(packed, {-1, -1, -1, -1});
  return at::pixel_shuffle(packed, kPatch);
}

}  // namespace sdrbee::flux2
