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
  const io::LoadQueue::Task add = [layer = *this, added = scope.promise_added("weight")]() mutable {
    layer.add_product(added());
  };
  scope.put_off(
      "weight",
      [layer = *this, weight = scope.promise_without_added("weight", {out, in, kernel, kernel}),
       add]() mutable {
        layer.replace_weight(weight());
        add();
      },
      remembering(weight_), add);
}

void Conv2d::replace_weight(const Tensor& weight) {
  SDRBEE_CHECK(!weight_->values.defined() || weight.sizes() == weight_->values.sizes());
  const bool packed = cpu::can_pack(weight);
  *weight_ = {packed ? cpu::pack_convolution(weight, {.stride = stride_, .padding = padding_})
                     : channels_last(weight),
              packed, std::nullopt};
}

void Conv2d::add_product(const io::AddedRows& factors) {
  weight_->down = Tensor();
  weight_->up = Tensor();
  if (!factors.down.defined()) return;
  std::vector<int64_t> shape = weight_->values.sizes().vec();
  shape.front() = factors.down.size(0);
  const Tensor down = factors.down.reshape(shape);
  const Tensor up = factors.up.unsqueeze(-1).unsqueeze(-1);
  weight_->down =
      weight_->packed ? cpu::pack_convolution(down, {stride_, padding_}) : channels_last(down);
  weight_->up = weight_->packed ? cpu::pack_convolution(up, {}) : channels_last(up);
}

Tensor Conv2d::operator()(const Tensor& x) const { return convolve(x, {}); }

Tensor Conv2d::add(const Tensor& x, const Tensor& residual) const {
  return convolve(x, channels_last(residual));
}

/// With zeros around the picture.
Tensor Conv2d::run(const Tensor& x, const Tensor& residual) const {
  const LayerWeight& weight = *weight_;
  const Tensor input = channels_last(x);
  if (weight.packed) {
    const cpu::ConvolutionSteps steps = {.stride = stride_, .padding = padding_};
    Tensor rest = residual;
    if (weight.down.defined())
      rest = cpu::run_convolution(cpu::run_convolution(input, weight.down, {}, steps), weight.up,
                                  {}, {}, residual);
    return cpu::run_convolution(input, weight.values, bias_, steps, rest);
  }
  const auto plain = [&](const Tensor& values, const Tensor& bias) {
    return at::conv2d(input, values, bias, {stride_, stride_}, {padding_, padding_});
  };
  Tensor y = weight.quantised
                 ? run_quantised_convolution(input, *weight.quantised, bias_, stride_, padding_)
                 : channels_last(plain(weight.values, bias_));
  if (weight.down.defined()) y.add_(at::conv2d(plain(weight.down, {}), weight.up));
  return residual.defined() ? y.add_(residual) : y;
}

Tensor Conv2d::convolve(const Tensor& x, const Tensor& residual) const {
  if (padding_ == 0 || !CircularPadding::acts()) return run(x, residual);
  // The picture is made larger than the kernel reaches, so that the zeros around it stay in what is
  // cut off again; by whole strides, so that the kernel meets the same pixels.
  const int64_t cells = (padding_ + stride_ - 1) / stride_;
  const int64_t grown = cells * stride_;
  const Tensor around = CircularPadding::pad(x, {grown, grown, grown, grown});
  const Tensor whole = run(around, {});
  const Tensor own = channels_last(CircularPadding::crop(whole, {cells, cells, cells, cells}));
  return residual.defined() ? own + residual : own;
}

}  // namespace sdrbee::nn
