#include "sdrbee/nn/attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include <cmath>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/cpu/flash_attention.h"

namespace sdrbee::nn {
namespace {

// [B, N, heads*d] -> [B, N, heads, d]
Tensor split_heads(const Tensor& tokens, int64_t heads) {
  return tokens.view({tokens.size(0), tokens.size(1), heads, tokens.size(2) / heads});
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                 const AttentionOptions& options) {
  SDRBEE_CHECK_SHAPE(q, {-1, -1, -1});
  SDRBEE_CHECK_SHAPE(k, {q.size(0), -1, q.size(2)});
  SDRBEE_CHECK_SHAPE(v, {q.size(0), k.size(1), -1});
  const Tensor queries = split_heads(q, heads), keys = split_heads(k, heads),
               values = split_heads(v, heads);
  if (!options.causal && !options.mask && cpu::has_flash_attention(queries, keys, values)) {
    const double scale =
        options.scale.value_or(1.0 / std::sqrt(static_cast<double>(queries.size(3))));
    return cpu::flash_attention(queries, keys, values, scale)
        .view({q.size(0), q.size(1), v.size(2)});
  }
  const Tensor attended = at::scaled_dot_product_attention(
      queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), options.mask,
      /*dropout_p=*/0.0, options.causal, options.scale);
  // [B, heads, N, d] -> [B, N, heads*d]
  return attended.transpose(1, 2).reshape({q.size(0), q.size(1), v.size(2)});
}

}  // namespace sdrbee::nn
