#include "sdrbee/models/adopt_plugin.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros_like.h>

#include <span>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/sha256.h"

namespace sdrbee {
namespace {

/// A size that may be anything.
constexpr int64_t kAny = -1;

/// The answer of a plug-in's `function`, when it is what was asked for.
Tensor checked(const Tensor& answer, at::IntArrayRef shape, const std::string& place) {
  bool fits = answer.defined() && answer.dim() == static_cast<int64_t>(shape.size());
  for (size_t i = 0; fits && i < shape.size(); ++i)
    fits = shape[i] == kAny || shape[i] == answer.size(static_cast<int64_t>(i));
  if (!fits)
    throw PluginError(message("[", place, "] expected the shape ", shape_text(shape), " but got ",
                              answer.defined() ? shape_text(answer.sizes()) : "nothing"));
  Tensor values = answer.to(at::kCPU, Dtype::Float);
  if (!at::isfinite(values).all().item<bool>())
    throw PluginError(message("[", place, "] expected finite values but got NaN or infinity"));
  return values;
}

/// A plug-in with what the adapters share.
struct Plugin {
  std::unique_ptr<PluginModel> model;
  ModelInfo info;

  std::string place(const char* function) const { return model->identity() + "." + function; }
};

class PluginDenoiser final : public Denoiser {
 public:
  explicit PluginDenoiser(const Plugin& plugin) : plugin_(plugin) {}

  Tensor predict(const Tensor& latents, const Tensor& timesteps,
                 const Conditioning& conditioning) override {
    return checked(plugin_.model->denoise(latents.to(Dtype::Float), timesteps.to(Dtype::Float),
                                          conditioning.context),
                   latents.sizes(), plugin_.place("denoise"));
  }

 private:
  const Plugin& plugin_;
};

class PluginAutoencoder final : public Autoencoder {
 public:
  explicit PluginAutoencoder(const Plugin& plugin) : plugin_(plugin) {}

  LatentPosterior encode(const Tensor& picture) override {
    const int64_t cell = plugin_.info.latent_downscale;
    Tensor mean = checked(plugin_.model->encode_picture(picture),
                          {picture.size(0), plugin_.info.latent_channels, picture.size(2) / cell,
                           picture.size(3) / cell},
                          plugin_.place("encode_picture"));
    Tensor deviation = at::zeros_like(mean);
    return {.mean = std::move(mean), .deviation = std::move(deviation)};
  }

  Tensor decode(const Tensor& latents) override {
    const int64_t cell = plugin_.info.latent_downscale;
    return checked(plugin_.model->decode(latents.to(at::kCPU, Dtype::Float)),
                   {latents.size(0), 3, latents.size(2) * cell, latents.size(3) * cell},
                   plugin_.place("decode"));
  }

 private:
  const Plugin& plugin_;
};

class AdoptedModel final : public ImageModel {
 public:
  AdoptedModel(Sealed token, std::unique_ptr<PluginModel> model)
      : ImageModel(token),
        plugin_{std::move(model), {}},
        sha256_(hash_of(plugin_.model->identity())),
        denoiser_(plugin_),
        autoencoder_(plugin_) {
    plugin_.info = plugin_.model->info();
  }

  const ModelInfo& info() const override { return plugin_.info; }
  const std::string& sha256() override { return sha256_; }
  Denoiser& denoiser() override { return denoiser_; }
  Autoencoder& autoencoder() override { return autoencoder_; }
  Device device() const override { return Device(c10::DeviceType::CPU); }
  WeightMemory& memory() override { return memory_; }

  EncodedPrompts encode(std::span<const Prompt> prompts) override {
    EncodedPrompts encoded;
    int64_t tokens = kAny;
    for (const Prompt& marked : prompts) {
      const Prompt prompt = without_marks(marked, encoded.warnings);
      Tensor context =
          checked(plugin_.model->encode(prompt), {1, tokens, kAny}, plugin_.place("encode"));
      tokens = context.size(1);
      encoded.conditionings.push_back({.context = std::move(context)});
    }
    return encoded;
  }

 private:
  static std::string hash_of(const std::string& identity) {
    Sha256 hash;
    hash.update(identity);
    return hash.hexadecimal();
  }

  Plugin plugin_;
  std::string sha256_;
  PluginDenoiser denoiser_;
  PluginAutoencoder autoencoder_;
  WeightMemory memory_;  // of a plug-in nothing is known
};

}  // namespace

std::unique_ptr<ImageModel> adopt_plugin(Sealed token, std::unique_ptr<PluginModel> plugin) {
  return std::make_unique<AdoptedModel>(token, std::move(plugin));
}

}  // namespace sdrbee
