#include "sdrbee/models/common/mask_tokens.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/upsample_bicubic2d.h>

#include <algorithm>
#include <cmath>

namespace sdrbee {

Tensor mask_tokens(const Tensor& masks, int64_t tokens) {
  const double ratio = static_cast<double>(masks.size(2)) / static_cast<double>(masks.size(1));
  auto height = static_cast<int64_t>(std::sqrt(static_cast<double>(tokens) / ratio));
  height = std::max<int64_t>(height, 1);  // of a mask that is wider than there are tokens
  if (tokens % height != 0) ++height;
  const int64_t width = std::max<int64_t>(tokens / height, 1);
  const Tensor cells =
      at::upsample_bicubic2d(masks.unsqueeze(1), {height, width}, /*align_corners=*/false);
  const Tensor row = cells.flatten(1);  // [B, 1, height, width] -> [B, height*width]
  return at::constant_pad_nd(row, {0, tokens - row.size(1)}).unsqueeze(2);
}

}  // namespace sdrbee
