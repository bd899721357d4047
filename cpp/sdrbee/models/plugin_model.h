// The one open door of the sealed interface: models from outside of this library.
#pragma once

#include <memory>
#include <string>

#include "sdrbee/core/error.h"
#include "sdrbee/models/image_model.h"

namespace sdrbee {

/// A model from outside failed: it answered with a wrong shape or NaN.
class PluginError : public Error {
 public:
  using Error::Error;
};

/// What a model from outside brings: three functions and what it tells of itself. They are called
/// from one thread at a time. What they throw reaches the caller as it is; answers of a wrong shape
/// or with NaN become PluginError.
class PluginModel {
 public:
  virtual ~PluginModel() = default;

  /// `capabilities.image_to_image` and `.inpaint` need encode_picture().
  virtual ModelInfo info() const = 0;

  /// Names the model and its version: recipes hold its hash.
  virtual std::string identity() const = 0;

  /// A prompt as the network takes it, [1, tokens, channels] fp32 on the CPU. Prompts that are used
  /// together must have as many tokens.
  virtual Tensor encode(const Prompt& prompt) = 0;

  /// The raw prediction for `latents` [B, C, h, w] at `timesteps` [B], given `context`
  /// [B, tokens, channels]: all fp32 on the CPU, as is the answer [B, C, h, w].
  virtual Tensor denoise(const Tensor& latents, const Tensor& timesteps, const Tensor& context) = 0;

  /// Latents [B, C, h, w] to pictures [B, 3, H, W] in -1..1, fp32 on the CPU.
  virtual Tensor decode(const Tensor& latents) = 0;

  /// Pictures [B, 3, H, W] in -1..1 to latents [B, C, h, w]. By default UnsupportedModel.
  virtual Tensor encode_picture(const Tensor& picture);
};

}  // namespace sdrbee
