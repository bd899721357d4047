// The picture encoder of CLIP (Radford et al. 2021, arXiv:2103.00020).
#pragma once

#include <vector>

#include "sdrbee/control/clip_layer.h"
#include "sdrbee/core/image.h"
#include "sdrbee/io/json.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/nn/conv2d.h"
#include "sdrbee/nn/embedding.h"

namespace sdrbee::control {

/// The sizes of a CLIP picture encoder; keys and defaults as in transformers' CLIPVisionConfig.
struct ClipVisionConfig {
  int64_t hidden_size = 768;
  int64_t intermediate_size = 3072;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t projection_dim = 512;
  int64_t image_size = 224;
  int64_t patch_size = 32;
  double layer_norm_eps = 1e-5;
  nn::Activation hidden_act = nn::Activation::QuickGelu;

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for an
  /// activation that isn't known.
  static ClipVisionConfig from(const io::Config& config);

  /// Patches of a picture and the token of its class.
  int64_t tokens() const { return (image_size / patch_size) * (image_size / patch_size) + 1; }
};

/// What the encoder makes of pictures.
struct ClipVisionOutput {
  Tensor penultimate;   ///< [B, tokens, hidden]: what enters the last layer
  Tensor image_embeds;  ///< [B, projection]
};

/// From the names of transformers, with "vision_model." or without, to those of OpenAI in layers.
std::vector<io::RenameRule> vision_rules(const io::WeightSource& weights);

/// CLIPVisionModelWithProjection of transformers.
class ClipVisionEncoder {
 public:
  /// Takes weights named as vision_rules() makes them. Throws CheckpointError.
  ClipVisionEncoder(const io::WeightScope& scope, const ClipVisionConfig& config);

  /// `pixels` [B, 3, image_size, image_size], see clip_pixels.
  ClipVisionOutput operator()(const Tensor& pixels) const;

 private:
  at::TensorOptions options_;  // the weights' dtype and device
  nn::Conv2d patch_embedding_;
  Tensor class_embedding_;  // [hidden]
  nn::Embedding position_embedding_;
  nn::LayerNorm pre_layrnorm_;
  std::vector<ClipLayer> layers_;
  nn::LayerNorm post_layernorm_;
  nn::Linear visual_projection_;
  int64_t tokens_;
};

/// A picture as transformers' CLIPImageProcessor prepares it, [1, 3, side, side] fp32: its shorter
/// side becomes `side` (bicubic, antialiased), the middle is cut out and normalised.
Tensor clip_pixels(const Image& image, int64_t side);

}  // namespace sdrbee::control
