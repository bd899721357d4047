#include "sdrbee/nn/conv2d.h"

#include <ATen/ops/conv2d.h>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/cpu/packed_weights.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee::nn {

Conv2d::Conv2d(const io::WeightScope& scope, int64_t in, int64_t out, int64_t kernel,
               const Conv2dOptions& options)
    : stride_(options.stride), padding_(options.padding) {
  if (options.bias) bias_ = scope.take("bias", {out});
  scope.put_off(
      [layer = *this, weight = scope.promise("weight", {out, in, kernel, kernel})]() mutable {
        layer.replace_weight(weight());
      });
}

void Conv2d::replace_weight(const Tensor& weight) {
  SDRBEE_CHECK(!weight_->values.defined() || weight.sizes() == weight_->values.sizes());
  weight_->packed = cpu::can_pack(weight);
  weight_->values = weight_->packed
                        ? cpu::pack_convolution(weight, {.stride = stride_, .padding = padding_})
                        : channels_last(weight);
}

Tensor Conv2d::operator()(const Tensor& x) const { return convolve(x, {}); }

Tensor Conv2d::add(const Tensor& x, const Tensor& residual) const {
  return convolve(x, channels_last(residual));
}

Tensor Conv2d::convolve(const Tensor& x, const Tensor& residual) const {
  if (weight_->packed) {
    return cpu::run_convolution(channels_last(x), weight_->values, bias_,
                                {.stride = stride_, .padding = padding_}, residual);
  }
  Tensor y = channels_last(at::conv2d(channels_last(x), weight_->values, bias_, {stride_, stride_},
                                      {padding_, padding_}));
  return residual.defined() ? y.add_(residual) : y;
}

}  // namespace sdrbee::nn
