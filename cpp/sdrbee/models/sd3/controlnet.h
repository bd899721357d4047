// ControlNets beside Stable Diffusion 3's network (SD3ControlNetModel).
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/models/common/time_text_embedding.h"
#include "sdrbee/models/sd3/controlnet_config.h"
#include "sdrbee/models/sd3/joint_block.h"
#include "sdrbee/models/sd3/patch_embedding.h"

namespace sdrbee::sd3 {

/// What a ControlNet is given in one evaluation; tensors of any float dtype.
struct ControlNetInputs {
  Tensor latents;    ///< [B, in_channels, h, w]
  Tensor shown;      ///< the picture's latents, of the same size, and its mask where it sees one
  Tensor timesteps;  ///< [B] in 0..1000
  Tensor context;    ///< the text's tokens [B, T, joint_attention_dim], where it sees them
  Tensor pooled;     ///< [B, pooled_projection_dim]
};

/// The first blocks of the transformer, or as many without text, with a layer behind each (Zhang et
/// al. 2023, arXiv:2302.05543).
class ControlNet {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  ControlNet(const io::WeightScope& scope, const ControlNetConfig& config);

  /// One tensor [B, tokens, width] for each of its blocks.
  std::vector<Tensor> operator()(const ControlNetInputs& inputs) const;

 private:
  at::TensorOptions options_;
  PatchEmbedding pos_embed_;
  PatchEmbedding pos_embed_input_;
  TimeTextEmbedding time_text_embed_;
  std::optional<nn::Linear> context_embedder_;
  std::vector<JointBlock> transformer_blocks_;  // of a network that sees the text ...
  std::vector<PictureBlock> picture_blocks_;    // ... or of one that doesn't
  std::vector<nn::Linear> controlnet_blocks_;
};

}  // namespace sdrbee::sd3
