#include "sdrbee/models/model_info.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace sdrbee {

std::string_view mode_name(Mode mode) {
  switch (mode) {
    case Mode::TextToImage:
      return "text_to_image";
    case Mode::ImageToImage:
      return "image_to_image";
    case Mode::Inpaint:
      return "inpaint";
  }
  return "";
}

double ModelInfo::dynamic_shift(PixelSize size, int64_t steps) const {
  const int64_t tokens = (size.width / sizes.multiple) * (size.height / sizes.multiple);
  return fitted_shift ? fitted_shift(tokens, steps) : scheduler.dynamic_shift(tokens);
}

ReferenceFit ModelInfo::reference_fit(PixelSize size) const {
  const auto floored = [&](int64_t side) {
    return std::max(sizes.multiple, side / sizes.multiple * sizes.multiple);
  };
  if (reference_sizes.empty()) {
    const int64_t area = size.width * size.height;
    const double factor =
        area > reference_area
            ? std::sqrt(static_cast<double>(reference_area) / static_cast<double>(area))
            : 1.0;
    const auto reduced = [&](int64_t side) {
      return std::max(sizes.multiple, static_cast<int64_t>(static_cast<double>(side) * factor));
    };
    const PixelSize scaled = {reduced(size.width), reduced(size.height)};
    return {.scaled = scaled, .cut = {floored(scaled.width), floored(scaled.height)}};
  }
  const auto aspect = [](PixelSize of) {
    return static_cast<double>(of.width) / static_cast<double>(of.height);
  };
  const double wanted = aspect({floored(size.width), floored(size.height)});
  // Of two equally near ones the narrower, as diffusers chooses.
  const auto distance = [&](PixelSize candidate) {
    return std::tuple(std::abs(wanted - aspect(candidate)), candidate.width);
  };
  const PixelSize nearest = *std::ranges::min_element(reference_sizes, {}, distance);
  return {.scaled = nearest, .cut = nearest};
}

const ModeDefaults& ModelInfo::defaults(Mode mode) const {
  switch (mode) {
    case Mode::ImageToImage:
      return image_to_image;
    case Mode::Inpaint:
      return inpaint;
    case Mode::TextToImage:
      break;
  }
  return text_to_image;
}

}  // namespace sdrbee
