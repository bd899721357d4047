#include "sdrbee/models/model_info.h"

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
