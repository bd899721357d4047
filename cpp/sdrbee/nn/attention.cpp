#include "sdrbee/nn/attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include "sdrbee/core/check.h"

namespace sdrbee::nn {
namespace {

// [B, N, heads*d] -> [B, heads, N, d]
Tensor split_heads(const Tensor& tokens, int64_t heads) {
  return tokens.view({tokens.size(0), tokens.size(1), heads, tokens.size(2) / heads})
      .transpose(1, 2);
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                 const AttentionOptions& options) {
  SDRBEE_CHECK_SHAPE(q, {-1, -1, -1});
  SDRBEE_CHECK_SHAPE(k, {q.size(0), -1, q.size(2)});
  SDRBEE_CHECK_SHAPE(v, {q.size(0), k.size(1), -1});
  const Tensor attended = at::scaled_dot_product_attention(
      split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), options.mask,
      /*dropout_p=*/0.0, options.causal, options.scale);
  // [B, heads, N, d] -> [B, N, heads*d]
  return attended.transpose(1, 2).reshape({q.size(0), q.size(1), v.size(2)});
}

}  // namespace sdrbee::nn
