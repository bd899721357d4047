#include "sdrbee/nn/cpu/group_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/cpu/channel_rows.h"

namespace sdrbee::nn::cpu {
namespace {

/// How the pixels of one picture are cut into parts, by the shape alone.
struct Parts {
  int64_t batch, pixels, channels;
  int64_t rows;   ///< pixels of a part, the last may have fewer
  int64_t count;  ///< parts of a picture

  int64_t rows_of(int64_t part) const { return std::min(rows, pixels - part * rows); }
};

Parts cut(const Tensor& x) {
  constexpr int64_t kMostParts = 32;
  constexpr int64_t kFewestRows = 64;
  const int64_t pixels = x.size(2) * x.size(3);
  const int64_t rows = std::max(kFewestRows, (pixels + kMostParts - 1) / kMostParts);
  return {.batch = x.size(0),
          .pixels = pixels,
          .channels = x.size(1),
          .rows = rows,
          .count = (pixels + rows - 1) / rows};
}

/// Parts that are worth a thread: small pictures are done before a second one has woken up.
int64_t grain(const Parts& parts) {
  constexpr int64_t kFewestValues = 1 << 15;
  return std::max<int64_t>(1, kFewestValues / (parts.rows * parts.channels));
}

std::vector<float> as_floats(const Tensor& values) {
  const Tensor floats = values.to(Dtype::Float).contiguous();
  const float* start = floats.const_data_ptr<float>();
  return {start, start + floats.numel()};
}

/// Scale and offset of each channel of each picture, [B, C].
struct Coefficients {
  std::vector<float> scale;
  std::vector<float> offset;
};

/// Sums of all parts: [B][part][C], of differences to the first row of the part.
template <typename Element>
struct Sums {
  std::vector<float> sums;
  std::vector<float> squares;

  Sums(const Element* x, const Parts& parts)
      : sums(static_cast<size_t>(parts.batch * parts.count * parts.channels)),
        squares(sums.size()) {
    at::parallel_for(0, parts.batch * parts.count, grain(parts), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / parts.count * parts.pixels + i % parts.count * parts.rows;
        sum_channels(ChannelSums<Element>{.rows_start = x + first * parts.channels,
                                          .rows = parts.rows_of(i % parts.count),
                                          .channels = parts.channels,
                                          .sums = sums.data() + i * parts.channels,
                                          .squares = squares.data() + i * parts.channels});
      }
    });
  }
};

float widened(const float* value) { return *value; }
float widened(const Bf16Bits* value) { return c10::detail::f32_from_bits(*value); }

/// What joining the parts of one picture needs.
template <typename Element>
struct Picture {
  const Element* pixels;
  const float* shift;    ///< [C], or null
  const float* sums;     ///< [part][C]
  const float* squares;  ///< [part][C]
};

struct Moments {
  double mean;
  double variance;
};

/// Mean and variance over `count` channels from `first` on and all pixels.
template <typename Element>
Moments join(const Picture<Element>& picture, const Parts& parts, int64_t first, int64_t count) {
  const auto for_each = [&](auto&& visit) {
    for (int64_t part = 0; part < parts.count; ++part) {
      const auto rows = static_cast<double>(parts.rows_of(part));
      const Element* origin = picture.pixels + part * parts.rows * parts.channels;
      for (int64_t c = first; c < first + count; ++c) {
        const double shift = picture.shift == nullptr ? 0.0 : double{picture.shift[c]};
        const double sum = picture.sums[part * parts.channels + c];
        visit(rows, widened(origin + c) + shift, sum, picture.squares[part * parts.channels + c]);
      }
    }
  };
  const auto values = static_cast<double>(parts.pixels * count);
  double total = 0.0;
  for_each([&](double rows, double origin, double sum, double) { total += rows * origin + sum; });
  const double mean = total / values;
  double deviations = 0.0;
  for_each([&](double rows, double origin, double sum, double squares) {
    const double offset = origin - mean;
    deviations += squares + offset * (2.0 * sum + rows * offset);
  });
  return {.mean = mean, .variance = std::max(deviations, 0.0) / values};
}

template <typename Element>
Coefficients find_coefficients(const Element* x, const Parts& parts,
                               const std::vector<float>& shift, const GroupNormWeights& weights) {
  const Sums<Element> partial(x, parts);
  const std::vector<float> weight = as_floats(weights.weight), bias = as_floats(weights.bias);
  const int64_t group_channels = parts.channels / weights.groups;
  const auto size = static_cast<size_t>(parts.batch * parts.channels);
  Coefficients result{std::vector<float>(size), std::vector<float>(size)};
  at::parallel_for(0, parts.batch * weights.groups, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / weights.groups;
      const int64_t start = image * parts.count * parts.channels;
      const float* shifts = shift.empty() ? nullptr : shift.data() + image * parts.channels;
      const Picture<Element> picture{.pixels = x + image * parts.pixels * parts.channels,
                                     .shift = shifts,
                                     .sums = partial.sums.data() + start,
                                     .squares = partial.squares.data() + start};
      const int64_t first = i % weights.groups * group_channels;
      const Moments moments = join(picture, parts, first, group_channels);
      const double inverse = 1.0 / std::sqrt(moments.variance + weights.eps);
      for (int64_t c = first; c < first + group_channels; ++c) {
        const auto place = static_cast<size_t>(image * parts.channels + c);
        const auto channel = static_cast<size_t>(c);
        const double scale = weight[channel] * inverse;
        const double origin = moments.mean - (shifts == nullptr ? 0.0 : double{shifts[c]});
        result.scale[place] = static_cast<float>(scale);
        result.offset[place] = static_cast<float>(bias[channel] - origin * scale);
      }
    }
  });
  return result;
}

/// Into `y`, which may be `x`.
template <typename Element>
void normalise(const Tensor& x, const Tensor& shift, const GroupNormWeights& weights, bool silu,
               Tensor& y) {
  const Parts parts = cut(x);
  const auto* source = static_cast<const Element*>(x.const_data_ptr());
  auto* target = static_cast<Element*>(y.data_ptr());
  const Coefficients coefficients = find_coefficients(
      source, parts, shift.defined() ? as_floats(shift) : std::vector<float>(), weights);
  at::parallel_for(0, parts.batch * parts.count, grain(parts), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / parts.count;
      const int64_t place = (image * parts.pixels + i % parts.count * parts.rows) * parts.channels;
      scale_channels(
          ChannelScaling<Element>{.source = source + place,
                                  .target = target + place,
                                  .rows = parts.rows_of(i % parts.count),
                                  .channels = parts.channels,
                                  .scale = coefficients.scale.data() + image * parts.channels,
                                  .offset = coefficients.offset.data() + image * parts.channels,
                                  .silu = silu});
    }
  });
}

/// Whether nothing but `tensor` holds its values.
bool is_sole_owner(const Tensor& tensor) {
  return tensor.use_count() == 1 && tensor.storage().use_count() == 1;
}

}  // namespace

bool has_group_norm(const Tensor& x) {
  return x.device().is_cpu() && x.dim() == 4 && x.numel() > 0 &&
         (x.scalar_type() == Dtype::Float || x.scalar_type() == Dtype::BFloat16) &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

Tensor group_norm(Tensor x, const Tensor& shift, const GroupNormWeights& weights, bool silu) {
  SDRBEE_CHECK(has_group_norm(x));
  if (shift.defined()) SDRBEE_CHECK_SHAPE(shift, {x.size(0), x.size(1)});
  Tensor y = is_sole_owner(x) ? x : at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
  x.scalar_type() == Dtype::Float ? normalise<float>(x, shift, weights, silu, y)
                                  : normalise<Bf16Bits>(x, shift, weights, silu, y);
  return y;
}

}  // namespace sdrbee::nn::cpu
