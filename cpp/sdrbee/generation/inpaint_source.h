// Picture and mask of an inpainting: enlarged, blurred and cut out as the request asks for it.
#pragma once

#include "sdrbee/core/image.h"
#include "sdrbee/core/tensor.h"
#include "sdrbee/generation/request.h"

namespace sdrbee {

/// A part of a picture in pixels; `right` and `bottom` lie outside.
struct PixelBox {
  int64_t left = 0;
  int64_t top = 0;
  int64_t right = 0;
  int64_t bottom = 0;
  bool operator==(const PixelBox&) const = default;

  PixelSize size() const { return {right - left, bottom - top}; }
};

/// What an inpainting works on; a function of the request alone.
struct InpaintSource {
  Image canvas = {};   ///< the source and what `outpaint` adds to it
  Image mask = {};     ///< grey, of the canvas' size: 0 is kept, 255 repainted, both blend between
  PixelBox area = {};  ///< what is repainted: the canvas, or the masked part with its padding
  Image picture = {};  ///< the area; of the request's size where it was cut out
  Image picture_mask = {};  ///< its mask
};

/// The part of the canvas that inpaint_area='masked' repaints.
/// Throws InvalidRequest when nothing is masked.
PixelBox masked_area(const GenerationRequest& request);

/// Throws InvalidRequest when only the masked part is asked for and nothing is masked.
InpaintSource inpaint_source(const GenerationRequest& request);

/// The part of another picture that lies over the repainted area, of the request's size, where the
/// picture lies over all of the canvas. For inpaint_area='masked'.
Image repainted_part(const GenerationRequest& request, const Image& over_canvas);

/// The size of the canvas: that of `request.image` and the margins of `request.outpaint`.
PixelSize canvas_size(const GenerationRequest& request);

/// The smallest box around the mask's pixels above 0, `padding` pixels larger on all sides and then
/// widened to the proportions of `size`, within the mask: diffusers'
/// VaeImageProcessor.get_crop_region and AUTOMATIC1111's modules/masking.py.
/// Throws InvalidRequest when all of the mask is 0.
PixelBox masked_area(const Image& mask, int64_t padding, PixelSize size);

/// `image` scaled to fit into `size`, centred, the bars at its sides filled from its edges:
/// diffusers' resize mode "fill". One or three channels.
Image fitted(const Image& image, PixelSize size);

/// The repainted area put back into the canvas, where `keep` blended by the mask.
Image paste_back(const Image& repainted, const InpaintSource& source, bool keep);

/// The same of a picture before it is rounded, [H, W, 3] in 0..1. It is rounded where it must be
/// resized, which is done in 8 bits.
Tensor paste_back(const Tensor& repainted, const InpaintSource& source, bool keep);

}  // namespace sdrbee
