// The table of vectors that tokens or positions are looked up in.
#pragma once

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/quantised_weight.h"

namespace sdrbee::nn {

/// Looks rows up: ids [...] of int64 in [0, count) -> [..., width].
class Embedding {
 public:
  /// Takes `weight` [count, width]. Throws CheckpointError.
  Embedding(const io::WeightScope& scope, int64_t count, int64_t width);

  Tensor operator()(const Tensor& ids) const;

  /// The first `count` rows, [count, width].
  Tensor first(int64_t count) const;

 private:
  Tensor weight_;
  std::optional<QuantisedWeight> quantised_;  // instead of weight_
};

}  // namespace sdrbee::nn
