#include "sdrbee/models/flux/transformer.h"

#include <ATen/ops/cat.h>

namespace sdrbee::flux {
namespace {

/// Adds what there is for block `index` to the tokens from `first` on.
void add_residual(const Tensor& tokens, int64_t first, const std::vector<Tensor>& residuals,
                  size_t index) {
  if (index >= residuals.size()) return;
  tokens.narrow(1, first, residuals[index].size(1)).add_(residuals[index]);
}

}  // namespace

Transformer::Transformer(const io::WeightScope& scope, const TransformerConfig& config)
    : trunk_(scope, config),
      norm_out_(scope / "norm_out", config.width(), 2),
      proj_out_(scope / "proj_out", config.width(), config.out_channels) {}

Tensor Transformer::operator()(const TransformerInputs& inputs,
                               const BlockResiduals& residuals) const {
  JointTokens tokens = trunk_.embed(inputs);
  const BlockInputs shared = trunk_.shared_inputs(inputs);
  size_t block = 0;
  for (const DoubleBlock& apply : trunk_.transformer_blocks()) {
    tokens = apply(tokens, shared);
    add_residual(tokens.picture, 0, residuals.blocks, block++);
  }
  const int64_t text = tokens.text.size(1);
  Tensor joined = at::cat({tokens.text, tokens.picture}, 1);
  block = 0;
  for (const SingleBlock& apply : trunk_.single_transformer_blocks()) {
    joined = apply(joined, shared);
    add_residual(joined, text, residuals.single_blocks, block++);
  }
  const Tensor picture = joined.narrow(1, text, tokens.picture.size(1));
  const std::vector<Tensor> parts = norm_out_(shared.activated);  // scale, shift
  return proj_out_(nn::modulated_norm(picture, {.scale = parts[0], .shift = parts[1]}));
}

}  // namespace sdrbee::flux
