// T2I-Adapter for Stable Diffusion 1.x and XL (Mou et al. 2023, arXiv:2302.08453).
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/control/t2i_adapter_config.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/conv2d.h"

namespace sdrbee::control {

/// Two convolutions with a ReLU between them, added to their input: AdapterResnetBlock and
/// LightAdapterResnetBlock of diffusers.
class AdapterResnet {
 public:
  /// Takes `block1` and `block2`, whose kernel is of this size.
  AdapterResnet(const io::WeightScope& scope, int64_t channels, int64_t second_kernel);
  Tensor operator()(const Tensor& x) const;

 private:
  nn::Conv2d block1_;
  nn::Conv2d block2_;
};

/// What makes one feature of the one before: AdapterBlock and LightAdapterBlock of diffusers.
class AdapterBlock {
 public:
  /// Takes `in_conv`, `resnets` and `out_conv`, where the kind of adapter has them.
  AdapterBlock(const io::WeightScope& scope, const T2iAdapterConfig& config,
               const AdapterBlockShape& shape);
  Tensor operator()(Tensor x) const;

 private:
  bool halves_;
  std::optional<nn::Conv2d> in_conv_;
  std::vector<AdapterResnet> resnets_;
  std::optional<nn::Conv2d> out_conv_;
};

/// T2IAdapter of diffusers.
class T2iAdapter {
 public:
  /// Throws CheckpointError for missing or wrong weights.
  T2iAdapter(const io::WeightScope& scope, const T2iAdapterConfig& config);

  /// A picture [B, 3, H, W] in 0..1 -> its features, [B, C, h, w] each, from the highest resolution
  /// down. Its sides are multiples of `downscale`.
  std::vector<Tensor> operator()(const Tensor& image) const;

 private:
  T2iAdapterConfig config_;
  at::TensorOptions options_;  // the weights' dtype and device
  std::optional<nn::Conv2d> conv_in_;
  std::vector<AdapterBlock> body_;
};

}  // namespace sdrbee::control
