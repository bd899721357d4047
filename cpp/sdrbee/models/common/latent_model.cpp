#include "sdrbee/models/common/latent_model.h"

#include <deque>
#include <map>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee {
namespace {

// Control networks that stay in memory though no picture is made with them; a request may use more.
constexpr size_t kIdleControls = 3;

class LatentModel final : public ImageModel {
 public:
  LatentModel(Sealed sealed, const io::Checkpoint& checkpoint, const LoadOptions& options,
              LatentModelParts parts)
      : ImageModel(sealed),
        checkpoint_(checkpoint),
        device_(options.device),
        memory_(options.memory),
        adapters_(options.adapters),
        parts_(std::move(parts)) {
    SDRBEE_CHECK(parts_.prompt_encoder && parts_.denoiser && parts_.autoencoder);
    memory_->check_limit();
    if (adapters_) adapters_->set_names(parts_.lora_names);
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

  std::vector<std::string> adapt(std::vector<lora::LoraUse>& loras) override {
    return adapters_ && !parts_.lora_names.empty() ? adapters_->use(loras)
                                                   : ImageModel::adapt(loras);
  }

  std::shared_ptr<const PromptCheck> prompt_check() const override { return parts_.prompt_encoder; }

  Tensor inpaint_channels(const Tensor& mask, const Tensor& masked_latents) const override {
    return parts_.inpaint_channels ? parts_.inpaint_channels(mask, masked_latents)
                                   : ImageModel::inpaint_channels(mask, masked_latents);
  }

  std::shared_ptr<ControlNetwork> control(const std::string& path) override {
    if (!parts_.open_control) return ImageModel::control(path);
    std::shared_ptr<ControlNetwork> network = controls_[path].lock();
    if (!network) {
      network = parts_.open_control(path);
      memory_->check_limit();
      controls_[path] = network;
    }
    std::erase(latest_controls_, network);
    latest_controls_.push_front(network);
    if (latest_controls_.size() > kIdleControls) latest_controls_.pop_back();
    std::erase_if(controls_, [](const auto& entry) { return entry.second.expired(); });
    return network;
  }

 private:
  io::Checkpoint checkpoint_;
  Device device_;
  std::shared_ptr<WeightMemory> memory_;
  std::shared_ptr<Adapters> adapters_;
  LatentModelParts parts_;
  std::map<std::string, std::weak_ptr<ControlNetwork>> controls_;  // those in memory, by path
  std::deque<std::shared_ptr<ControlNetwork>> latest_controls_;    // the latest first
  std::string sha256_;
};

}  // namespace

std::unique_ptr<ImageModel> make_latent_model(Sealed sealed, const io::Checkpoint& checkpoint,
                                              const LoadOptions& options, LatentModelParts parts) {
  return std::make_unique<LatentModel>(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee
