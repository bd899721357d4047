// The transformers inside UNets: self-attention, cross-attention to the text, feed-forward.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/models/control_network.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee {

/// The sizes of a Transformer2D.
struct Transformer2DShape {
  int64_t channels = 0;
  int64_t heads = 1;
  int64_t context = 0;  ///< width of the context's tokens
  int64_t layers = 1;
  int64_t groups = 32;
  bool only_cross_attention = false;  ///< the first attention looks at the context too
};

/// Projections and attention; queries come from x, keys and values from another sequence or x.
class CrossAttention {
 public:
  CrossAttention(const io::WeightScope& scope, int64_t channels, int64_t context, int64_t heads);

  /// residual + out(attention(q(x), k(context), v(context))), all [B, N, C]; before `out` come the
  /// attentions to those of `extra` that are for this layer, each times its strength.
  Tensor add(const Tensor& x, const Tensor& context, const Tensor& residual,
             std::span<const ExtraContext> extra = {}) const;

 private:
  /// What the queries see of pictures [B, N, C]: IPAdapterAttnProcessor2_0 of diffusers.
  Tensor look(const Tensor& q, const ExtraContext::KeysValues& shown, const Tensor& masks) const;

  std::string path_;
  nn::Linear to_q_;
  nn::Linear to_k_;
  nn::Linear to_v_;
  nn::Linear to_out_;
  int64_t heads_;
};

/// One layer: x + attn1, + attn2 over the context and `extra`, + gated feed-forward; each
/// normalised before.
class BasicTransformerBlock {
 public:
  BasicTransformerBlock(const io::WeightScope& scope, const Transformer2DShape& shape);
  Tensor operator()(const Tensor& tokens, const Tensor& context,
                    std::span<const ExtraContext> extra) const;

 private:
  nn::LayerNorm norm1_;
  CrossAttention attn1_;
  nn::LayerNorm norm2_;
  CrossAttention attn2_;
  nn::LayerNorm norm3_;
  nn::Geglu ff_in_;
  nn::Linear ff_out_;
  bool only_cross_attention_;
};

/// A picture through transformer layers, added to the picture: [B, C, H, W] -> [B, C, H, W].
/// The projections around the layers are 1x1 convolutions or matrices in the file, which is the
/// same (`use_linear_projection`).
class Transformer2D {
 public:
  Transformer2D(const io::WeightScope& scope, const Transformer2DShape& shape);
  Tensor operator()(const Tensor& x, const Tensor& context,
                    std::span<const ExtraContext> extra) const;

 private:
  nn::GroupNorm norm_;
  nn::Linear proj_in_;
  std::vector<BasicTransformerBlock> transformer_blocks_;
  nn::Linear proj_out_;
};

}  // namespace sdrbee
