#include "sdrbee/models/common/unet_model.h"

#include <utility>

#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/unet_denoiser.h"

namespace sdrbee {
namespace {

KlAutoencoder load_autoencoder(const io::Checkpoint& checkpoint, const LoadOptions& options,
                               bool upcast) {
  const io::Component& component = checkpoint.component("vae", "AutoencoderKL");
  LoadOptions own = options;
  if (upcast && options.dtype == Dtype::Half &&
      vae::AutoencoderKlConfig::from(component.config).force_upcast)
    own.dtype = Dtype::Float;
  return KlAutoencoder(component, own);
}

class UnetModel final : public ImageModel {
 public:
  UnetModel(Sealed sealed, const io::Checkpoint& checkpoint, const LoadOptions& options,
            UnetModelParts parts)
      : ImageModel(sealed),
        checkpoint_(checkpoint),
        device_(options.device),
        parts_(std::move(parts)),
        denoiser_(checkpoint.component("unet", "UNet2DConditionModel"), options),
        autoencoder_(load_autoencoder(checkpoint, options, parts_.upcast_autoencoder)) {}

  const ModelInfo& info() const override { return parts_.info; }
  const sampling::SchedulerConfig& scheduler() const override { return parts_.scheduler; }
  Denoiser& denoiser() override { return denoiser_; }
  Autoencoder& autoencoder() override { return autoencoder_; }
  Device device() const override { return device_; }

  const std::string& sha256() override {
    if (sha256_.empty()) sha256_ = checkpoint_.sha256();
    return sha256_;
  }

  EncodedPrompts encode(std::span<const Prompt> prompts) override {
    return parts_.prompt_encoder->encode(prompts);
  }

 private:
  io::Checkpoint checkpoint_;
  Device device_;
  UnetModelParts parts_;
  UnetDenoiser denoiser_;
  KlAutoencoder autoencoder_;
  std::string sha256_;
};

}  // namespace

std::unique_ptr<ImageModel> make_unet_model(Sealed sealed, const io::Checkpoint& checkpoint,
                                            const LoadOptions& options, UnetModelParts parts) {
  return std::make_unique<UnetModel>(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee
