#include "sdrbee/nn/conv2d.h"

#include <ATen/ops/conv2d.h>

#include "sdrbee/nn/layout.h"

namespace sdrbee::nn {

Conv2d::Conv2d(const io::WeightScope& scope, int64_t in, int64_t out, int64_t kernel,
               const Conv2dOptions& options)
    : weight_(channels_last(scope.take("weight", {out, in, kernel, kernel}))),
      stride_(options.stride),
      padding_(options.padding) {
  if (options.bias) bias_ = scope.take("bias", {out});
}

Tensor Conv2d::operator()(const Tensor& x) const {
  return channels_last(
      at::conv2d(channels_last(x), weight_, bias_, {stride_, stride_}, {padding_, padding_}));
}

Tensor Conv2d::add(const Tensor& x, const Tensor& residual) const {
  return (*this)(x).add_(residual);
}

}  // namespace sdrbee::nn
