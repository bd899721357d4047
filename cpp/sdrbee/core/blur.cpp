#include "sdrbee/core/blur.h"

#include <algorithm>
#include <cmath>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

constexpr int kPasses = 3;
constexpr int kFractionBits = 24;

/// The radius, with a fraction, of the box whose repeated blur has the Gaussian's variance (Gwosdek
/// et al. 2011, "Theoretical foundations of Gaussian convolution by extended box filtering").
float box_radius(float radius) {
  const float variance = radius * radius / kPasses;
  const float length = std::sqrt(12 * variance + 1);
  const float whole = std::floor((length - 1) / 2);
  const float excess = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  return whole + excess / (6 * (variance - (whole + 1) * (whole + 1)));
}

/// A box in fixed point: pixels up to `reach` away weigh `inner`, those one further `border`.
struct Box {
  int64_t reach;
  uint32_t inner;
  uint32_t border;

  explicit Box(float radius) : reach(static_cast<int64_t>(radius)) {
    const auto one = uint32_t{1} << kFractionBits;
    inner = static_cast<uint32_t>(static_cast<float>(one) / (radius * 2 + 1));
    border = (one - static_cast<uint32_t>(2 * reach + 1) * inner) / 2;
  }
};

/// One pass over `count` values `stride` apart.
void blur_line(uint8_t* line, int64_t count, int64_t stride, const Box& box,
               std::vector<uint8_t>& copy) {
  copy.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) copy[static_cast<size_t>(i)] = line[i * stride];
  const auto at = [&](int64_t i) -> uint32_t {
    return copy[static_cast<size_t>(std::clamp<int64_t>(i, 0, count - 1))];
  };
  uint32_t sum = 0;
  for (int64_t i = -box.reach; i <= box.reach; ++i) sum += at(i);
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t far = at(i - box.reach - 1) + at(i + box.reach + 1);
    const uint32_t value =
        sum * box.inner + far * box.border + (uint32_t{1} << (kFractionBits - 1));
    line[i * stride] = static_cast<uint8_t>(value >> kFractionBits);
    sum += at(i + box.reach + 1) - at(i - box.reach);
  }
}

}  // namespace

Image gaussian_blur(const Image& image, double radius) {
  SDRBEE_CHECK(radius >= 0);
  Image result = image;
  if (radius == 0) return result;
  const Box box(box_radius(static_cast<float>(radius)));
  const int64_t row = image.size.width * image.channels;
  std::vector<uint8_t> copy;
  for (int pass = 0; pass < kPasses; ++pass)
    for (int64_t y = 0; y < image.size.height; ++y)
      for (int64_t c = 0; c < image.channels; ++c)
        blur_line(&result.pixels[static_cast<size_t>(y * row + c)], image.size.width,
                  image.channels, box, copy);
  for (int pass = 0; pass < kPasses; ++pass)
    for (int64_t x = 0; x < row; ++x)
      blur_line(&result.pixels[static_cast<size_t>(x)], image.size.height, row, box, copy);
  return result;
}

}  // namespace sdrbee
