#include "sdrbee/nn/embedding.h"

#include <ATen/ops/index_select.h>

#include "sdrbee/io/dequantise.h"

namespace sdrbee::nn {

Embedding::Embedding(const io::WeightScope& scope, int64_t count, int64_t width) : width_(width) {
  if (const auto blocks = scope.promise_blocks("weight", {count, width}))
    quantised_ = QuantisedWeight{blocks(), scope.dtype()};
  else
    table_.emplace(scope, "weight", at::IntArrayRef{count, width});
}

Tensor Embedding::operator()(const Tensor& ids) const {
  if (quantised_) return look_up_quantised(*quantised_, ids);
  std::vector<int64_t> shape = ids.sizes().vec();
  shape.push_back(width_);
  const Tensor flat = ids.reshape(-1);
  return table_->part([&](const Tensor& all) { return at::index_select(all, 0, flat); })
      .view(shape);
}

Tensor Embedding::first(int64_t count) const {
  if (quantised_) return io::dequantise(quantised_->blocks, quantised_->dtype).narrow(0, 0, count);
  return table_->part([&](const Tensor& all) { return all.narrow(0, 0, count); });
}

}  // namespace sdrbee::nn
