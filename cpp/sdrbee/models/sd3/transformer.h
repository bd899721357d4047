// Stable Diffusion 3's network (SD3Transformer2DModel): a transformer over text and picture.
#pragma once

#include <vector>

#include "sdrbee/models/common/time_text_embedding.h"
#include "sdrbee/models/sd3/joint_block.h"
#include "sdrbee/models/sd3/patch_embedding.h"
#include "sdrbee/models/sd3/transformer_config.h"

namespace sdrbee::sd3 {

/// What the network is given in one evaluation; tensors of any float dtype.
struct TransformerInputs {
  Tensor latents;    ///< [B, in_channels, h, w]; h and w multiples of patch_size
  Tensor timesteps;  ///< [B] in 0..1000
  Tensor context;    ///< the text's tokens [B, T, joint_attention_dim]
  Tensor pooled;     ///< [B, pooled_projection_dim]
  /// Blocks that leave a row as it is: [B, num_layers] bool on the CPU, or undefined.
  Tensor skipped{};
  /// Added to the picture's tokens behind the first blocks, [B, tokens, width] each.
  std::vector<Tensor> residuals{};
};

/// Multimodal diffusion transformer (Esser et al. 2024, arXiv:2403.03206), with the changes of 3.5:
/// normalised queries and keys, and a second attention in some blocks.
class Transformer {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  Transformer(const io::WeightScope& scope, const TransformerConfig& config);

  /// The velocity [B, out_channels, h, w] in the network's dtype.
  Tensor operator()(const TransformerInputs& inputs) const;

  const TransformerConfig& config() const { return config_; }

 private:
  Tensor patches_to_latents(const Tensor& patches, int64_t rows, int64_t columns) const;

  TransformerConfig config_;
  at::TensorOptions options_;
  PatchEmbedding pos_embed_;
  TimeTextEmbedding time_text_embed_;
  nn::Linear context_embedder_;
  std::vector<JointBlock> transformer_blocks_;
  nn::Modulation norm_out_;
  nn::Linear proj_out_;
};

}  // namespace sdrbee::sd3
