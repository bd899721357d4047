// Normalisation layers.
#pragma once

#include "sdrbee/io/weight_scope.h"

namespace sdrbee::nn {

/// Mean and variance of each group of channels, [B, groups, 1] fp64 on the CPU.
struct GroupMoments {
  Tensor mean;
  Tensor variance;
};

/// The moments of `x` [B, C, H, W] over C / groups channels and all pixels.
GroupMoments group_moments(const Tensor& x, int64_t groups);

/// Normalises [B, C, H, W] over each group of C / groups channels and all pixels, then scales and
/// shifts each channel. Wu and He 2018, arXiv:1803.08494.
class GroupNorm {
 public:
  /// Takes `weight` and `bias`. `channels` must be a multiple of `groups`.
  /// Throws CheckpointError, and UnsupportedModel when it is not.
  GroupNorm(const io::WeightScope& scope, int64_t groups, int64_t channels, double eps);

  Tensor operator()(const Tensor& x) const;

  /// silu(norm(x + shift)) with one `shift` [B, C] for all pixels, or none. A picture that the
  /// caller gives up and nothing else holds is overwritten.
  Tensor silu(Tensor x, const Tensor& shift = {}) const;

  /// silu(norm(x)) with moments of a whole that x is a part of.
  Tensor silu(const Tensor& x, const GroupMoments& moments) const;

  int64_t groups() const { return groups_; }

 private:
  Tensor normalise(Tensor x, const Tensor& shift, bool silu) const;

  Tensor weight_;  // [channels]
  Tensor bias_;    // [channels]
  int64_t groups_;
  double eps_;
};

/// Normalises over the last dimension, then scales and shifts. Ba et al. 2016, arXiv:1607.06450.
class LayerNorm {
 public:
  /// Takes `weight` and `bias` of length `width`. Throws CheckpointError.
  LayerNorm(const io::WeightScope& scope, int64_t width, double eps);

  Tensor operator()(const Tensor& x) const;

 private:
  Tensor weight_;
  Tensor bias_;
  double eps_;
};

/// Divides by the root mean square over the last dimension, then scales; no mean is subtracted.
/// Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.
class RmsNorm {
 public:
  /// Takes `weight` of length `width`. Throws CheckpointError.
  RmsNorm(const io::WeightScope& scope, int64_t width, double eps);

  /// Of the dtype of `x`; computed in single precision.
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor weight_;
  double eps_;
};

}  // namespace sdrbee::nn
