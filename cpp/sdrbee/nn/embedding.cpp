#include "sdrbee/nn/embedding.h"

#include <ATen/ops/embedding.h>

#include "sdrbee/io/dequantise.h"

namespace sdrbee::nn {

Embedding::Embedding(const io::WeightScope& scope, int64_t count, int64_t width) {
  if (const auto blocks = scope.promise_blocks("weight", {count, width}))
    quantised_ = QuantisedWeight{blocks(), scope.dtype()};
  else
    weight_ = scope.take("weight", {count, width});
}

Tensor Embedding::operator()(const Tensor& ids) const {
  return quantised_ ? look_up_quantised(*quantised_, ids) : at::embedding(weight_, ids);
}

Tensor Embedding::first(int64_t count) const {
  if (quantised_) return io::dequantise(quantised_->blocks, quantised_->dtype).narrow(0, 0, count);
  return weight_.narrow(0, 0, count);
}

}  // namespace sdrbee::nn
