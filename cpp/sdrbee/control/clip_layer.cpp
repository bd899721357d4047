#include "sdrbee/control/clip_layer.h"

#include "sdrbee/nn/attention.h"

namespace sdrbee::control {

ClipLayer::ClipLayer(const io::WeightScope& scope, const ClipLayerShape& shape)
    : heads_(shape.heads),
      activation_(shape.activation),
      ln_1_(scope / "ln_1", shape.width, shape.norm_eps),
      to_q_(scope / "attn" / "to_q", shape.width, shape.width),
      to_k_(scope / "attn" / "to_k", shape.width, shape.width),
      to_v_(scope / "attn" / "to_v", shape.width, shape.width),
      out_proj_(scope / "attn" / "out_proj", shape.width, shape.width),
      ln_2_(scope / "ln_2", shape.width, shape.norm_eps),
      c_fc_(scope / "mlp" / "c_fc", shape.width, shape.inner),
      c_proj_(scope / "mlp" / "c_proj", shape.inner, shape.width) {}

Tensor ClipLayer::operator()(const Tensor& tokens) const {
  const Tensor x = ln_1_(tokens);
  const Tensor attended =
      out_proj_.add(nn::attention(to_q_(x), to_k_(x), to_v_(x), heads_), tokens);
  return c_proj_.add(c_fc_.activated(ln_2_(attended), activation_), attended);
}

}  // namespace sdrbee::control
