#include "sdrbee/nn/layout.h"

#include <ATen/ops/cat.h>

#include "sdrbee/core/check.h"

namespace sdrbee::nn {

Tensor channels_last(const Tensor& picture) {
  return picture.contiguous(at::MemoryFormat::ChannelsLast);
}

Tensor picture_to_tokens(const Tensor& picture) {
  SDRBEE_CHECK_SHAPE(picture, {-1, -1, -1, -1});
  // [B, C, H, W] -> [B, H, W, C] -> [B, H*W, C]
  return picture.permute({0, 2, 3, 1})
      .reshape({picture.size(0), picture.size(2) * picture.size(3), picture.size(1)});
}

Tensor tokens_to_picture(const Tensor& tokens, int64_t height, int64_t width) {
  SDRBEE_CHECK_SHAPE(tokens, {-1, height * width, -1});
  // [B, H*W, C] -> [B, H, W, C] -> [B, C, H, W]
  return tokens.reshape({tokens.size(0), height, width, tokens.size(2)}).permute({0, 3, 1, 2});
}

Tensor join_channels(const Tensor& first, const Tensor& second) {
  return channels_last(at::cat({channels_last(first), channels_last(second)}, 1));
}

}  // namespace sdrbee::nn
