#include "sdrbee/models/model_info.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "sdrbee/core/check.h"

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

int64_t ModelInfo::token_count(PixelSize size) const {
  return (size.width / sizes.multiple) * (size.height / sizes.multiple);
}

PixelSize ModelInfo::reference_size(PixelSize size) const {
  SDRBEE_CHECK(!reference_sizes.empty());
  const auto aspect = [](PixelSize of) {
    return static_cast<double>(of.width) / static_cast<double>(of.height);
  };
  const auto floored = [&](int64_t side) {
    return std::max(sizes.multiple, side / sizes.multiple * sizes.multiple);
  };
  const double wanted = aspect({floored(size.width), floored(size.height)});
  // Of two equally near ones the narrower, as diffusers chooses.
  const auto distance = [&](PixelSize candidate) {
    return std::tuple(std::abs(wanted - aspect(candidate)), candidate.width);
  };
  return *std::ranges::min_element(reference_sizes, {}, distance);
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
