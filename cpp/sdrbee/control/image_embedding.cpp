#include "sdrbee/control/image_embedding.h"

#include <ATen/ops/silu.h>

namespace sdrbee::control {
namespace {

constexpr nn::Conv2dOptions kSameSize{.padding = 1};
constexpr nn::Conv2dOptions kHalfSize{.stride = 2, .padding = 1};

std::vector<nn::Conv2d> take_blocks(const io::WeightScope& scope,
                                    const std::vector<int64_t>& widths) {
  std::vector<nn::Conv2d> blocks;
  int64_t index = 0;
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    blocks.emplace_back(scope / index++, widths[i], widths[i], 3, kSameSize);
    blocks.emplace_back(scope / index++, widths[i], widths[i + 1], 3, kHalfSize);
  }
  return blocks;
}

}  // namespace

ImageEmbedding::ImageEmbedding(const io::WeightScope& scope, const Shape& shape)
    : conv_in_(scope / "conv_in", shape.in, shape.widths.front(), 3, kSameSize),
      blocks_(take_blocks(scope / "blocks", shape.widths)),
      conv_out_(scope / "conv_out", shape.widths.back(), shape.out, 3, kSameSize) {}

Tensor ImageEmbedding::operator()(const Tensor& image) const {
  Tensor x = at::silu(conv_in_(image));
  for (const nn::Conv2d& block : blocks_) x = at::silu(block(x));
  return conv_out_(x);
}

}  // namespace sdrbee::control
