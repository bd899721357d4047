// The table of vectors that tokens or positions are looked up in.
#pragma once

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/quantised_weight.h"
#include "sdrbee/nn/stored_table.h"

namespace sdrbee::nn {

/// Looks rows up: ids [...] of int64 in [0, count) -> [..., width]. On the CPU the table stays as
/// it is stored, in the mapped file: rows are converted when they are looked up.
class Embedding {
 public:
  /// Takes `weight` [count, width]. Throws CheckpointError.
  Embedding(const io::WeightScope& scope, int64_t count, int64_t width);

  Tensor operator()(const Tensor& ids) const;

  /// The first `count` rows, [count, width].
  Tensor first(int64_t count) const;

 private:
  int64_t width_;
  std::optional<StoredTable> table_;          // [count, width], or
  std::optional<QuantisedWeight> quantised_;  // the same in blocks of the mapped file
};

}  // namespace sdrbee::nn
