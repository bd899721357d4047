// Pictures that tile without a seam.
#pragma once

#include "sdrbee/generation/request.h"
#include "sdrbee/nn/circular_padding.h"

namespace sdrbee {

/// The padding of a request's convolutions, for as long as the result lives.
inline nn::CircularPadding padding_of(const GenerationRequest& request) {
  return {request.tiling.find('x') != std::string::npos,
          request.tiling.find('y') != std::string::npos};
}

}  // namespace sdrbee
