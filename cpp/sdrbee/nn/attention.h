// Attention over tokens.
#pragma once

#include <optional>

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn {

/// What `attention` does beyond the plain case.
struct AttentionOptions {
  std::optional<double> scale = std::nullopt;  ///< nothing means 1 / sqrt(width of a head)
  bool causal = false;                         ///< a token sees itself and those before it
  std::optional<Tensor> mask =
      std::nullopt;  ///< added to the scores, broadcast to [B, heads, queries, keys]
};

/// softmax(scale * q k^T + mask) v for each head. Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
/// q [B, queries, heads*d], k and v [B, keys, heads*d] -> [B, queries, heads*d].
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                 const AttentionOptions& options = {});

}  // namespace sdrbee::nn
