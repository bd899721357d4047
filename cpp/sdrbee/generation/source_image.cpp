#include "sdrbee/generation/source_image.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/resample.h"

namespace sdrbee {
namespace {

constexpr uint8_t kMaskThreshold = 128;  // 128 / 255 is the first level that is at least 0.5

Image resized(const Image& image, PixelSize size) {
  return image.size == size ? image : resize_lanczos(image, size);
}

/// ITU-R 601 luma in PIL's fixed point, so that a coloured mask is cut where PIL cuts it.
uint8_t luma(const uint8_t* pixel, int64_t channels) {
  if (channels == 1) return pixel[0];
  return static_cast<uint8_t>((pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >>
                              16);
}

/// Three channels of `image` at `size`, each level as `value(level in 0..1)`, [1, 3, H, W].
template <typename Value>
Tensor channels_to_tensor(const Image& image, PixelSize size, const Value& value) {
  const Image source = resized(image, size);
  const int64_t area = size.width * size.height;
  Tensor picture = at::empty({1, 3, size.height, size.width}, at::kFloat);
  float* out = picture.mutable_data_ptr<float>();
  for (int64_t i = 0; i < area; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      const int64_t from = source.channels >= 3 ? c : 0;
      const uint8_t level = source.pixels[static_cast<size_t>(i * source.channels + from)];
      out[c * area + i] = value(static_cast<float>(level) / 255.0F);
    }
  return picture;
}

}  // namespace

Tensor picture_to_tensor(const Image& image, PixelSize size) {
  return channels_to_tensor(image, size, [](float level) { return 2.0F * level - 1.0F; });
}

Tensor levels_to_tensor(const Image& image, PixelSize size) {
  return channels_to_tensor(image, size, [](float level) { return level; });
}

bool has_grey_levels(const Image& mask) {
  return std::ranges::any_of(mask.pixels, [](uint8_t level) { return level != 0 && level != 255; });
}

Image cut_at_half(Image mask) {
  for (uint8_t& level : mask.pixels) level = level >= kMaskThreshold ? 255 : 0;
  return mask;
}

Tensor mask_to_tensor(const Image& mask, PixelSize size) {
  const bool soft = has_grey_levels(grey(mask));
  Image levels = grey(resized(mask, size));
  if (!soft) levels = cut_at_half(std::move(levels));
  Tensor values = at::empty({1, 1, size.height, size.width}, at::kFloat);
  float* out = values.mutable_data_ptr<float>();
  for (const uint8_t level : levels.pixels) *out++ = static_cast<float>(level) / 255.0F;
  return values;
}

Image grey(const Image& image) {
  if (image.channels == 1) return image;
  Image result{image.size, 1, {}};
  const auto count = static_cast<size_t>(image.size.width * image.size.height);
  result.pixels.reserve(count);
  for (size_t i = 0; i < count; ++i)
    result.pixels.push_back(
        luma(&image.pixels[i * static_cast<size_t>(image.channels)], image.channels));
  return result;
}

Image colours(const Image& image) {
  if (image.channels == 3) return image;
  Image result{image.size, 3, {}};
  const auto count = static_cast<size_t>(image.size.width * image.size.height);
  result.pixels.reserve(3 * count);
  for (size_t i = 0; i < count; ++i)
    for (size_t c = 0; c < 3; ++c)
      result.pixels.push_back(
          image.pixels[i * static_cast<size_t>(image.channels) + (image.channels > 3 ? c : 0)]);
  return result;
}

Tensor latents_to_tensor(const LatentImage& latents) {
  Tensor tensor =
      at::empty({1, latents.channels, latents.size.height, latents.size.width}, at::kFloat);
  std::memcpy(tensor.mutable_data_ptr(), latents.values.data(), tensor.nbytes());
  return tensor;
}

Tensor picture_to_float(const Tensor& picture) {
  SDRBEE_CHECK_SHAPE(picture, {1, 3, -1, -1});
  return (picture.to(at::kCPU, at::kFloat) * 0.5 + 0.5)
      .clamp(0, 1)[0]
      .permute({1, 2, 0})  // [3, H, W] -> [H, W, 3]
      .contiguous();
}

Tensor image_to_float(const Image& image) {
  Tensor levels = at::empty({image.size.height, image.size.width, image.channels}, at::kByte);
  std::memcpy(levels.mutable_data_ptr(), image.pixels.data(), image.pixels.size());
  return levels.to(at::kFloat).div_(255.0);
}

Image float_to_image(const Tensor& values) {
  SDRBEE_CHECK_SHAPE(values, {-1, -1, 3});
  const Tensor levels = (values * 255.0).round().to(at::kByte).contiguous();
  Image image{{levels.size(1), levels.size(0)}, 3, {}};
  image.pixels.resize(static_cast<size_t>(levels.numel()));
  std::memcpy(image.pixels.data(), levels.const_data_ptr(), image.pixels.size());
  return image;
}

Image keep_unmasked(const Image& generated, const Image& source, const Image& mask) {
  Image result = resized(generated, source.size);
  const Image kept = colours(source);
  const Image levels = grey(mask);
  for (size_t i = 0; i < levels.pixels.size(); ++i) {
    const int level = levels.pixels[i];
    for (size_t c = 3 * i; c < 3 * i + 3; ++c)
      result.pixels[c] = static_cast<uint8_t>(
          (result.pixels[c] * level + kept.pixels[c] * (255 - level) + 127) / 255);
  }
  return result;
}

}  // namespace sdrbee
