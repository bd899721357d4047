// An image model of prompt encoder, denoiser and autoencoder, whatever the network is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sdrbee/lora/lora_targets.h"
#include "sdrbee/models/common/prompt_encoder.h"
#include "sdrbee/models/registry.h"

namespace sdrbee {

/// The parts of a latent diffusion model (Rombach et al. 2022, arXiv:2112.10752), which a family
/// loads and puts together.
struct LatentModelParts {
  ModelInfo info;
  std::shared_ptr<const PromptEncoder> prompt_encoder;
  std::unique_ptr<Denoiser> denoiser;
  std::unique_ptr<Autoencoder> autoencoder;
  /// What LoRA files call the components; empty: the model takes no LoRAs.
  std::vector<lora::ComponentNames> lora_names = {};
  /// See ImageModel::inpaint_channels; null: as there.
  Tensor (*inpaint_channels)(const Tensor& mask, const Tensor& masked_latents) = nullptr;
  /// Opens a control network, see ImageModel::control; null: the model takes none.
  std::function<std::shared_ptr<ControlNetwork>(const std::string& path)> open_control = {};
};

/// The model of these parts. Throws InvalidRequest when one is larger than the memory limit, and
/// InternalError when one is missing.
std::unique_ptr<ImageModel> make_latent_model(Sealed, const io::Checkpoint& checkpoint,
                                              const LoadOptions& options, LatentModelParts parts);

}  // namespace sdrbee
