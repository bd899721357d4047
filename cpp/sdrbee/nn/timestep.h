// How networks are told a number, most often the timestep.
#pragma once

#include <optional>

#include "sdrbee/nn/linear.h"

namespace sdrbee::nn {

/// How `sinusoidal_embedding` lays its values out.
struct SinusoidalOptions {
  bool flip_sin_to_cos = true;  ///< cosines before sines
  double freq_shift = 0.0;      ///< the frequencies fall from 1 to 10000^-1 over width/2 - shift
};

/// Sines and cosines of `values` [N] at frequencies from 1 down to 1/10000 -> fp32 [N, width].
/// Computed in fp32 whatever the dtype of `values`. Ho et al. 2020, arXiv:2006.11239, appendix B.
Tensor sinusoidal_embedding(const Tensor& values, int64_t width, const SinusoidalOptions& options);

/// Two linear layers with an activation between them, on top of a sinusoidal embedding.
class TimestepEmbedding {
 public:
  /// Sizes of the layers: in -> hidden -> hidden.
  struct Shape {
    int64_t in = 0;
    int64_t hidden = 0;
    std::optional<int64_t> condition =
        std::nullopt;  ///< width of a further input that is added first
  };

  /// Takes `linear_1`, `linear_2` and, with `shape.condition`, `cond_proj`.
  TimestepEmbedding(const io::WeightScope& scope, const Shape& shape,
                    Activation activation = Activation::Silu);

  /// [N, in] -> [N, hidden]; `condition` [N, shape.condition] where the layer was built for one.
  Tensor operator()(const Tensor& x, const std::optional<Tensor>& condition = std::nullopt) const;

 private:
  Linear linear_1_;
  Linear linear_2_;
  std::optional<Linear> cond_proj_;
  Activation activation_;
};

}  // namespace sdrbee::nn
