#include "sdrbee/core/resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

constexpr double kLobes = 3.0;
// Two bits of headroom for filters that overshoot, eight for the level, as Pillow has it.
constexpr int kWeightBits = 32 - 8 - 2;

double sinc(double x) {
  if (x == 0.0) return 1.0;
  const double angle = x * std::numbers::pi;
  return std::sin(angle) / angle;
}

double lanczos(double x) { return std::abs(x) < kLobes ? sinc(x) * sinc(x / kLobes) : 0.0; }

/// Keys 1981, "Cubic convolution interpolation for digital image processing", a = -0.5.
double cubic(double x) {
  const double distance = std::abs(x);
  if (distance < 1.0) return (1.5 * distance - 2.5) * distance * distance + 1.0;
  if (distance < 2.0) return ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0;
  return 0.0;
}

/// How much a source pixel counts by its distance, and how far it counts.
struct Filter {
  double (*weight)(double distance);
  double support;
};

constexpr Filter kLanczos{lanczos, kLobes};
constexpr Filter kBicubic{cubic, 2.0};

/// The source positions that one output position is made of, with weights in fixed point.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

Taps taps_of(int64_t position, int64_t from, double scale, const Filter& filter) {
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter.support * filter_scale;
  const double center = (static_cast<double>(position) + 0.5) * scale;
  Taps taps;
  taps.first = std::max<int64_t>(0, static_cast<int64_t>(center - support + 0.5));
  const int64_t end = std::min(from, static_cast<int64_t>(center + support + 0.5));
  std::vector<double> weights;
  double sum = 0.0;
  for (int64_t at = taps.first; at < end; ++at) {
    weights.push_back(filter.weight((static_cast<double>(at) - center + 0.5) / filter_scale));
    sum += weights.back();
  }
  for (const double weight : weights) {
    const double scaled = weight / sum * (1 << kWeightBits);
    taps.weights.push_back(static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
  return taps;
}

std::vector<Taps> all_taps(int64_t from, int64_t to, const Filter& filter) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  std::vector<Taps> taps;
  for (int64_t position = 0; position < to; ++position)
    taps.push_back(taps_of(position, from, scale, filter));
  return taps;
}

uint8_t apply(const Taps& taps, const uint8_t* source, int64_t stride) {
  int64_t sum = int64_t{1} << (kWeightBits - 1);
  for (size_t i = 0; i < taps.weights.size(); ++i)
    sum += int64_t{taps.weights[i]} * source[static_cast<int64_t>(i) * stride];
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kWeightBits, 0, 255));
}

Image empty_picture(PixelSize size, int64_t channels) {
  Image image{size, channels, {}};
  image.pixels.resize(static_cast<size_t>(size.width * size.height * channels));
  return image;
}

Image resize_width(const Image& image, int64_t width, const Filter& filter) {
  Image out = empty_picture({width, image.size.height}, image.channels);
  const std::vector<Taps> taps = all_taps(image.size.width, width, filter);
  auto target = out.pixels.begin();
  for (int64_t y = 0; y < image.size.height; ++y) {
    const uint8_t* row = &image.pixels[static_cast<size_t>(y * image.size.width * image.channels)];
    for (const Taps& tap : taps)
      for (int64_t c = 0; c < image.channels; ++c)
        *target++ = apply(tap, row + tap.first * image.channels + c, image.channels);
  }
  return out;
}

Image resize_height(const Image& image, int64_t height, const Filter& filter) {
  Image out = empty_picture({image.size.width, height}, image.channels);
  const int64_t row = image.size.width * image.channels;
  auto target = out.pixels.begin();
  for (const Taps& tap : all_taps(image.size.height, height, filter))
    for (int64_t x = 0; x < row; ++x)
      *target++ = apply(tap, image.pixels.data() + tap.first * row + x, row);
  return out;
}

/// Colours times alpha, rounded, so that invisible colours don't bleed into visible ones.
void multiply_by_alpha(Image& image) {
  for (size_t i = 0; i < image.pixels.size(); i += 4)
    for (size_t channel = 0; channel < 3; ++channel) {
      const int product = image.pixels[i + channel] * image.pixels[i + 3] + 128;
      image.pixels[i + channel] = static_cast<uint8_t>(((product >> 8) + product) >> 8);
    }
}

void divide_by_alpha(Image& image) {
  for (size_t i = 0; i < image.pixels.size(); i += 4) {
    const int alpha = image.pixels[i + 3];
    if (alpha == 0 || alpha == 255) continue;
    for (size_t channel = 0; channel < 3; ++channel)
      image.pixels[i + channel] =
          static_cast<uint8_t>(std::min(255, 255 * image.pixels[i + channel] / alpha));
  }
}

Image resize(const Image& image, PixelSize size, const Filter& filter) {
  SDRBEE_CHECK(size.width > 0 && size.height > 0);
  if (image.size == size) return image;
  Image result = image;
  if (image.channels == 4) multiply_by_alpha(result);
  // The two orders round differently; this is when Pillow 13 starts with the height.
  const int64_t fewer_rows = image.size.height - size.height;
  const bool height_first = fewer_rows > std::max<int64_t>(0, 2 * (image.size.width - size.width));
  if (height_first) result = resize_height(result, size.height, filter);
  if (size.width != image.size.width) result = resize_width(result, size.width, filter);
  if (size.height != result.size.height) result = resize_height(result, size.height, filter);
  if (image.channels == 4) divide_by_alpha(result);
  return result;
}

}  // namespace

Image resize_lanczos(const Image& image, PixelSize size) { return resize(image, size, kLanczos); }

Image resize_bicubic(const Image& image, PixelSize size) { return resize(image, size, kBicubic); }

}  // namespace sdrbee
