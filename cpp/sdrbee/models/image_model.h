// The sealed interface that every model family implements.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/core/device.h"
#include "sdrbee/lora/lora_use.h"
#include "sdrbee/models/conditioning.h"
#include "sdrbee/models/model_info.h"
#include "sdrbee/models/weight_memory.h"

namespace sdrbee {

/// Predicts noise, velocity or sample from noisy latents: the family's network or a wrapper of it.
class Denoiser {
 public:
  virtual ~Denoiser() = default;

  /// One evaluation of the network. `latents` [B, C, h, w], already scaled for the network, in any
  /// float dtype; `timesteps` [B] fp32; returns the raw prediction [B, C, h, w] in fp32.
  virtual Tensor predict(const Tensor& latents, const Tensor& timesteps,
                         const Conditioning& conditioning) = 0;
};

/// The encoder's Gaussian over latents, in the scale that the denoiser works in.
struct LatentPosterior {
  Tensor mean;       // [B, C, h, w] fp32
  Tensor deviation;  // standard deviation, same shape

  /// mean + deviation * noise, where `noise` is standard normal of the same shape.
  Tensor sample(const Tensor& noise) const;
};

/// Pictures to latents and back. Pictures are [B, 3, H, W] fp32 in -1..1; latents are in the scale
/// that the denoiser works in (scaling and shift factors are applied inside).
class Autoencoder {
 public:
  virtual ~Autoencoder() = default;
  virtual LatentPosterior encode(const Tensor& picture) = 0;
  virtual Tensor decode(const Tensor& latents) = 0;

  /// What users should know about the calls since the last time; each sentence once.
  virtual std::vector<std::string> take_warnings() { return {}; }
};

/// A mask [1, 1, H, W] at the size of latents [1, 1, H / cell, W / cell]: each cell takes the value
/// of its first pixel, as in diffusers, which resizes masks by nearest neighbour.
Tensor mask_by_cells(const Tensor& mask, int64_t cell);

class PromptCheck;
class Registry;

/// The token that seals ImageModel: only the registry can make one, so a class outside of this
/// library may derive from ImageModel but can never be constructed.
class Sealed {
  Sealed() = default;
  friend class Registry;
};

/// A loaded model of any family. Use it from one thread at a time.
class ImageModel {
 public:
  virtual ~ImageModel() = default;
  ImageModel(const ImageModel&) = delete;
  ImageModel& operator=(const ImageModel&) = delete;

  virtual const ModelInfo& info() const = 0;

  /// SHA-256 over the model's files, as hexadecimal text; computed at the first call.
  virtual const std::string& sha256() = 0;

  /// Encodes prompts that will be used together (positive and negative of one picture).
  virtual EncodedPrompts encode(std::span<const Prompt> prompts) = 0;

  /// What counts the tokens of prompts without its weights; by default nothing does.
  virtual std::shared_ptr<const PromptCheck> prompt_check() const;

  virtual Denoiser& denoiser() = 0;
  virtual Autoencoder& autoencoder() = 0;
  virtual Device device() const = 0;

  /// Where its components' weights are.
  virtual WeightMemory& memory() = 0;

  /// Lets these LoRAs act, and no others, from the next use of each component on; what changes is
  /// read anew at that use, from the model's files. Gives each of `loras` the hash of its file, and
  /// returns what users should know. Throws CheckpointError for a file that is damaged, holds no
  /// LoRA or does not fit the model, and InvalidRequest where the model takes none, or the file is
  /// another one than `sha256` says; then the LoRAs before stay.
  virtual std::vector<std::string> adapt(std::vector<lora::LoraUse>& loras);

  /// What a network with `native_inpaint` takes as Conditioning::channels: by default the mask by
  /// cells, then the masked picture's latents, as in Stable Diffusion's inpainting networks.
  /// `mask` [1, 1, H, W] is 1 where to repaint; `masked_latents` [1, C, h, w] are of the picture
  /// with grey there.
  virtual Tensor inpaint_channels(const Tensor& mask, const Tensor& masked_latents) const;

  /// The control network of a file or folder, opened for this model; the same one again while it is
  /// in use. Throws CheckpointError or UnsupportedModel when it is none, and InvalidRequest when it
  /// was made for another kind of model, or when this model takes none.
  virtual std::shared_ptr<ControlNetwork> control(const std::string& path);

 protected:
  explicit ImageModel(Sealed) {}
};

}  // namespace sdrbee
