#include "sdrbee/models/flux/patches.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include "sdrbee/core/check.h"

namespace sdrbee::flux {

Tensor pack_latents(const Tensor& latents) {
  SDRBEE_CHECK_SHAPE(latents, {-1, -1, -1, -1});
  const int64_t rows = latents.size(2) / kPatch;
  const int64_t columns = latents.size(3) / kPatch;
  SDRBEE_CHECK(latents.size(2) == rows * kPatch && latents.size(3) == columns * kPatch);
  // [B, C, h/2, 2, w/2, 2] -> [B, h/2, w/2, C, 2, 2] -> [B, h/2 * w/2, C*4]
  return latents.reshape({latents.size(0), latents.size(1), rows, kPatch, columns, kPatch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({latents.size(0), rows * columns, latents.size(1) * kPatch * kPatch});
}

Tensor unpack_latents(const Tensor& tokens, int64_t height, int64_t width) {
  const int64_t rows = height / kPatch;
  const int64_t columns = width / kPatch;
  SDRBEE_CHECK_SHAPE(tokens, {-1, rows * columns, -1});
  // [B, h/2, w/2, C, 2, 2] -> [B, C, h/2, 2, w/2, 2] -> [B, C, h, w]
  return tokens.reshape({tokens.size(0), rows, columns, -1, kPatch, kPatch})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({tokens.size(0), -1, height, width});
}

Tensor token_positions(int64_t height, int64_t width, int64_t picture) {
  const int64_t rows = height / kPatch;
  const int64_t columns = width / kPatch;
  const auto row = at::arange(rows, at::kDouble).unsqueeze(1).expand({rows, columns});
  const auto column = at::arange(columns, at::kDouble).expand({rows, columns});
  const auto number = at::full({rows, columns}, static_cast<double>(picture), at::kDouble);
  return at::stack({number, row, column}, 2).reshape({-1, 3});  // [h/2, w/2, 3] -> [h/2 * w/2, 3]
}

}  // namespace sdrbee::flux
