#include "sdrbee/models/flux/controlnet.h"

#include <ATen/ops/cat.h>

#include "sdrbee/models/flux/patches.h"

namespace sdrbee::flux {
namespace {

// Widths of the convolutions in XLabs' networks, which halve a picture three times.
// https://github.com/XLabs-AI/x-flux/blob/main/src/flux/controlnet.py
const std::vector<int64_t> kHintWidths = {16, 16, 16, 16};

std::vector<nn::Linear> take_outputs(const io::WeightScope& scope, int64_t count, int64_t width) {
  std::vector<nn::Linear> outputs;
  for (int64_t i = 0; i < count; ++i) outputs.emplace_back(scope / i, width, width);
  return outputs;
}

}  // namespace

ControlNet::ControlNet(const io::WeightScope& scope, const ControlNetConfig& config)
    : trunk_(scope, config.transformer),
      controlnet_x_embedder_(scope / "controlnet_x_embedder", config.transformer.in_channels,
                             config.transformer.width()),
      controlnet_blocks_(take_outputs(scope / "controlnet_blocks", config.transformer.num_layers,
                                      config.transformer.width())),
      controlnet_single_blocks_(take_outputs(scope / "controlnet_single_blocks",
                                             config.transformer.num_single_layers,
                                             config.transformer.width())) {
  if (config.hint_channels > 0)
    input_hint_block_.emplace(scope / "input_hint_block",
                              control::ImageEmbedding::Shape{
                                  .in = 3, .widths = kHintWidths, .out = config.hint_channels});
  if (config.modes > 0)
    controlnet_mode_embedder_ = (scope / "controlnet_mode_embedder")
                                    .take("weight", {config.modes, config.transformer.width()});
}

ControlNet::Residuals ControlNet::operator()(const TransformerInputs& inputs,
                                             const ShownPicture& shown) const {
  const Tensor image = shown.image.to(trunk_.options());
  const Tensor hint = pack_latents(input_hint_block_ ? (*input_hint_block_)(image) : image);
  JointTokens tokens = trunk_.embed(inputs);
  tokens.picture = tokens.picture.add(controlnet_x_embedder_(hint));
  const bool has_mode = controlnet_mode_embedder_.defined();
  if (has_mode) {
    const Tensor mode = controlnet_mode_embedder_[shown.mode].expand({image.size(0), 1, -1});
    tokens.text = at::cat({mode, tokens.text}, 1);
  }
  const BlockInputs shared = trunk_.shared_inputs(inputs, /*before_text=*/has_mode ? 1 : 0);
  Residuals residuals;
  for (size_t i = 0; i < controlnet_blocks_.size(); ++i) {
    tokens = trunk_.transformer_blocks()[i](tokens, shared);
    residuals.blocks.push_back(controlnet_blocks_[i](tokens.picture));
  }
  const int64_t text = tokens.text.size(1);
  Tensor joined = at::cat({tokens.text, tokens.picture}, 1);
  for (size_t i = 0; i < controlnet_single_blocks_.size(); ++i) {
    joined = trunk_.single_transformer_blocks()[i](joined, shared);
    const Tensor picture = joined.narrow(1, text, tokens.picture.size(1));
    residuals.single_blocks.push_back(controlnet_single_blocks_[i](picture));
  }
  return residuals;
}

}  // namespace sdrbee::flux
