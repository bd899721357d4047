#include "sdrbee/nn/embedding.h"

#include <ATen/ops/embedding.h>

namespace sdrbee::nn {

Embedding::Embedding(const io::WeightScope& scope, int64_t count, int64_t width)
    : weight_(scope.take("weight", {count, width})) {}

Tensor Embedding::operator()(const Tensor& ids) const { return at::embedding(weight_, ids); }

Tensor Embedding::first(int64_t count) const { return weight_.narrow(0, 0, count); }

}  // namespace sdrbee::nn
