#include "sdrbee/nn/timestep.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>

#include <cmath>

#include "sdrbee/core/check.h"

namespace sdrbee::nn {
namespace {

constexpr double kMaxPeriod = 10000.0;

}  // namespace

Tensor sinusoidal_embedding(const Tensor& values, int64_t width, const SinusoidalOptions& options) {
  SDRBEE_CHECK_SHAPE(values, {-1});
  const int64_t half = width / 2;
  const auto fp32 = at::TensorOptions().dtype(at::kFloat).device(values.device());
  const Tensor exponent = at::arange(half, fp32)
                              .mul(-std::log(kMaxPeriod))
                              .div(static_cast<double>(half) - options.freq_shift);
  // [N, 1] * [1, half] -> [N, half]
  const Tensor angles = values.to(at::kFloat).unsqueeze(1).mul(exponent.exp().unsqueeze(0));
  const Tensor sines = angles.sin();
  const Tensor cosines = angles.cos();
  const Tensor embedding =
      options.flip_sin_to_cos ? at::cat({cosines, sines}, 1) : at::cat({sines, cosines}, 1);
  return width % 2 == 0 ? embedding : at::constant_pad_nd(embedding, {0, 1});
}

TimestepEmbedding::TimestepEmbedding(const io::WeightScope& scope, const Shape& shape,
                                     Activation activation)
    : linear_1_(scope / "linear_1", shape.in, shape.hidden),
      linear_2_(scope / "linear_2", shape.hidden, shape.hidden),
      activation_(activation) {
  if (shape.condition)
    cond_proj_.emplace(scope / "cond_proj", *shape.condition, shape.in, /*bias=*/false);
}

Tensor TimestepEmbedding::operator()(const Tensor& x,
                                     const std::optional<Tensor>& condition) const {
  SDRBEE_CHECK(!condition || cond_proj_, "this layer takes no condition");
  const Tensor input = condition ? cond_proj_->add(*condition, x) : x;
  return linear_2_(linear_1_.activated(input, activation_));
}

}  // namespace sdrbee::nn
