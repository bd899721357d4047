#include "sdrbee/nn/conv2d.h"

#include <ATen/ops/conv2d.h>

#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/circular_padding.h"
#include "sdrbee/nn/cpu/packed_weights.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee::nn {

Conv2d::Conv2d(const io::WeightScope& scope, int64_t in, int64_t out, int64_t kernel,
               const Conv2dOptions& options)
    : stride_(options.stride), padding_(options.padding) {
  if (options.bias) bias_ = scope.take("bias", {out});
  if (auto blocks = scope.promise_blocks("weight", {out, in, kernel, kernel})) {
    scope.put_off(
        "weight",
        [weight = weight_, blocks = std::move(blocks), dtype = scope.dtype()] {
          *weight = {{}, false, QuantisedWeight{blocks(), dtype}};
        },
        remembering(weight_));
    return;
  }
  scope.put_off(
      "weight",
      [layer = *this, weight = scope.promise("weight", {out, in, kernel, kernel})]() mutable {
        layer.replace_weight(weight());
      },
      remembering(weight_));
}

void Conv2d::replace_weight(const Tensor& weight) {
  SDRBEE_CHECK(!weight_->values.defined() || weight.sizes() == weight_->values.sizes());
  const bool packed = cpu::can_pack(weight);
  weight_->values = Tensor();  // the new one can have its memory
  *weight_ = {packed ? cpu::pack_convolution(weight, {.stride = stride_, .padding = padding_})
                     : channels_last(weight),
              packed, std::nullopt};
}

Tensor Conv2d::operator()(const Tensor& x) const { return convolve(x, {}); }

Tensor Conv2d::add(const Tensor& x, const Tensor& residual) const {
  return convolve(x, channels_last(residual));
}

Tensor Conv2d::convolve(const Tensor& x, const Tensor& residual) const {
  const auto with_zeros = [this](const Tensor& input, const Tensor& residue) {
    if (weight_->packed)
      return cpu::run_convolution(channels_last(input), weight_->values, bias_,
                                  {.stride = stride_, .padding = padding_}, residue);
    Tensor y = weight_->quantised
                   ? run_quantised_convolution(input, *weight_->quantised, bias_, stride_, padding_)
                   : channels_last(at::conv2d(channels_last(input), weight_->values, bias_,
                                              {stride_, stride_}, {padding_, padding_}));
    return residue.defined() ? y.add_(residue) : y;
  };
  if (padding_ == 0 || !CircularPadding::acts()) return with_zeros(x, residual);
  // The picture is made larger than the kernel reaches, so that the zeros around it stay in what is
  // cut off again; by whole strides, so that the kernel meets the same pixels.
  const int64_t cells = (padding_ + stride_ - 1) / stride_;
  const int64_t grown = cells * stride_;
  const Tensor around = CircularPadding::pad(x, {grown, grown, grown, grown});
  const Tensor whole = with_zeros(around, {});
  const Tensor own = channels_last(CircularPadding::crop(whole, {cells, cells, cells, cells}));
  return residual.defined() ? own + residual : own;
}

}  // namespace sdrbee::nn
