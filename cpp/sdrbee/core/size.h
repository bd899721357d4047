// Sizes of pictures and of latents: two types, so that they can't be mixed up.
#pragma once

#include <cstdint>

namespace sdrbee {

/// Size of a picture in pixels.
struct PixelSize {
  int64_t width = 0;
  int64_t height = 0;
  bool operator==(const PixelSize&) const = default;
};

/// Size of a latent grid in cells.
struct LatentSize {
  int64_t width = 0;
  int64_t height = 0;
  bool operator==(const LatentSize&) const = default;
};

}  // namespace sdrbee
