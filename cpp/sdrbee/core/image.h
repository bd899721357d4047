// A picture in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "sdrbee/core/size.h"

namespace sdrbee {

/// An 8-bit picture: `pixels` holds rows from the top, each row `width * channels` bytes.
/// `channels` is 1 (grey), 3 (RGB) or 4 (RGBA).
struct Image {
  PixelSize size;
  int64_t channels = 3;
  std::vector<uint8_t> pixels;
  bool operator==(const Image&) const = default;
};

/// Latents of one picture as plain values, in the scale that the denoiser works in.
struct LatentImage {
  int64_t channels = 0;
  LatentSize size;
  std::vector<float> values;  // [channels, height, width]
  bool operator==(const LatentImage&) const = default;
};

}  // namespace sdrbee
