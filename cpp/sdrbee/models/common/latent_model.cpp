#include "sdrbee/models/common/latent_model.h"

#include <utility>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

class LatentModel final : public ImageModel {
 public:
  LatentModel(Sealed sealed, const io::Checkpoint& checkpoint, const LoadOptions& options,
              LatentModelParts parts)
      : ImageModel(sealed),
        checkpoint_(checkpoint),
        device_(options.device),
        memory_(options.memory),
        parts_(std::move(parts)) {
    SDRBEE_CHECK(parts_.prompt_encoder && parts_.denoiser && parts_.autoencoder);
    memory_->check_limit();
  }

  const ModelInfo& info() const override { return parts_.info; }
  Denoiser& denoiser() override { return *parts_.denoiser; }
  Autoencoder& autoencoder() override { return *parts_.autoencoder; }
  Device device() const override { return device_; }
  WeightMemory& memory() override { return *memory_; }

  const std::string& sha256() override {
    if (sha256_.empty()) sha256_ = checkpoint_.sha256();
    return sha256_;
  }

  EncodedPrompts encode(std::span<const Prompt> prompts) override {
    return parts_.prompt_encoder->encode(prompts);
  }

  Tensor inpaint_channels(const Tensor& mask, const Tensor& masked_latents) const override {
    return parts_.inpaint_channels ? parts_.inpaint_channels(mask, masked_latents)
                                   : ImageModel::inpaint_channels(mask, masked_latents);
  }

 private:
  io::Checkpoint checkpoint_;
  Device device_;
  std::shared_ptr<WeightMemory> memory_;
  LatentModelParts parts_;
  std::string sha256_;
};

}  // namespace

std::unique_ptr<ImageModel> make_latent_model(Sealed sealed, const io::Checkpoint& checkpoint,
                                              const LoadOptions& options, LatentModelParts parts) {
  return std::make_unique<LatentModel>(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee
