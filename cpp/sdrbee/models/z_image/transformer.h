// Z-Image's network: one sequence of picture and text (Z-Image Team 2025, arXiv:2511.22699).
// https://github.com/Tongyi-MAI/Z-Image
#pragma once

#include <vector>

#include "sdrbee/models/z_image/block.h"

namespace sdrbee::z_image {

/// `tokens` rounded up to a multiple of kTokensMultiple.
int64_t filled_up(int64_t tokens);

/// What the network is evaluated on.
struct TransformerInputs {
  Tensor latents;               ///< [B, in_channels, h, w]; h and w are even
  Tensor timesteps;             ///< [B], 0 for noise, 1 for a picture
  Tensor context;               ///< [B, T, cap_feat_dim]
  std::vector<int64_t> counts;  ///< rows of `context` that are text; all fill up to one number
};

/// ZImageTransformer2DModel of diffusers, without the parts for pictures as conditions.
class Transformer {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  Transformer(const io::WeightScope& scope, const TransformerConfig& config);

  /// The predicted velocity towards the picture, [B, in_channels, h, w].
  Tensor operator()(const TransformerInputs& inputs) const;

  const TransformerConfig& config() const { return config_; }

 private:
  struct Sequence {
    Tensor tokens;     // [B, N, dim]
    Tensor rotations;  // [N, head_width / 2]
  };

  Tensor embed_time(const Tensor& timesteps) const;
  Sequence embed_text(const TransformerInputs& inputs) const;
  Sequence embed_picture(const Tensor& latents, int64_t text_tokens) const;
  Tensor project(const Tensor& tokens, const Tensor& time) const;
  Tensor rotations_of(const Tensor& positions) const;

  TransformerConfig config_;
  at::TensorOptions options_;
  nn::Linear time_in_;
  nn::Linear time_out_;
  nn::RmsNorm cap_norm_;
  nn::Linear cap_embedder_;
  nn::Linear x_embedder_;
  Tensor x_pad_token_;    // [1, dim]
  Tensor cap_pad_token_;  // [1, dim]
  std::vector<Block> noise_refiner_;
  std::vector<Block> context_refiner_;
  std::vector<Block> layers_;
  nn::Linear final_modulation_;
  nn::Linear final_linear_;
};

}  // namespace sdrbee::z_image
