// Blurring 8-bit pictures the way Pillow does.
#pragma once

#include "sdrbee/core/image.h"

namespace sdrbee {

/// `image` blurred by a Gaussian of standard deviation `radius` pixels (at least 0), made of three
/// box blurs a direction, the edge pixels repeated outwards. Equals PIL's
/// `ImageFilter.GaussianBlur(radius)` level by level.
Image gaussian_blur(const Image& image, double radius);

}  // namespace sdrbee
