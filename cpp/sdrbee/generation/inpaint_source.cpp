#include "sdrbee/generation/inpaint_source.h"

#include <algorithm>

#include "sdrbee/core/blur.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/resample.h"
#include "sdrbee/generation/source_image.h"

namespace sdrbee {
namespace {

constexpr uint8_t kRepainted = 255;

Image filled(PixelSize size, int64_t channels, uint8_t level) {
  const auto count = static_cast<size_t>(size.width * size.height * channels);
  return {size, channels, std::vector<uint8_t>(count, level)};
}

uint8_t* pixel(Image& image, int64_t x, int64_t y) {
  return &image.pixels[static_cast<size_t>((y * image.size.width + x) * image.channels)];
}

const uint8_t* pixel(const Image& image, int64_t x, int64_t y) {
  return &image.pixels[static_cast<size_t>((y * image.size.width + x) * image.channels)];
}

/// Copies `from` into `to` at (left, top), where the two overlap.
void paste(Image& to, const Image& from, int64_t left, int64_t top) {
  const int64_t begin = std::max<int64_t>(0, -left);
  const int64_t end = std::min(from.size.width, to.size.width - left);
  if (begin >= end) return;
  for (int64_t y = std::max<int64_t>(0, -top); y < std::min(from.size.height, to.size.height - top);
       ++y)
    std::copy_n(pixel(from, begin, y), (end - begin) * to.channels,
                pixel(to, left + begin, top + y));
}

Image cut_out(const Image& image, const PixelBox& box) {
  Image part = filled(box.size(), image.channels, 0);
  paste(part, image, -box.left, -box.top);
  return part;
}

/// `image` with margins of its nearest pixels.
Image with_margins(const Image& image, PixelSize size, int64_t left, int64_t top) {
  Image canvas = filled(size, image.channels, 0);
  for (int64_t y = 0; y < size.height; ++y)
    for (int64_t x = 0; x < size.width; ++x)
      std::copy_n(pixel(image, std::clamp<int64_t>(x - left, 0, image.size.width - 1),
                        std::clamp<int64_t>(y - top, 0, image.size.height - 1)),
                  image.channels, pixel(canvas, x, y));
  return canvas;
}

/// Canvas and mask before blurring.
InpaintSource on_canvas(const GenerationRequest& request) {
  const Image& image = *request.image;
  Image mask = request.mask ? grey(*request.mask) : filled(image.size, 1, 0);
  if (request.outpaint.empty()) return {.canvas = image, .mask = std::move(mask)};
  const PixelSize size = canvas_size(request);
  const int64_t left = request.outpaint[0];
  const int64_t top = request.outpaint[1];
  InpaintSource source{.canvas = with_margins(image, size, left, top),
                       .mask = filled(size, 1, kRepainted)};
  paste(source.mask, mask, left, top);
  return source;
}

/// Widens a span of a box to `wanted` pixels, as far as `limit` lets it.
void widen(int64_t& low, int64_t& high, double wanted, int64_t limit) {
  const auto missing = static_cast<int64_t>(wanted - static_cast<double>(high - low));
  low -= missing / 2;
  high += missing - missing / 2;
  if (high >= limit) {
    low -= high - limit;
    high = limit;
  }
  if (low < 0) {
    high -= low;
    low = 0;
  }
  high = std::min(high, limit);
}

/// Pillow's bicubic resize of a box of no height: 9/8 of the edge less 1/8 of the row behind it.
uint8_t beyond_edge(int edge, int behind) {
  return static_cast<uint8_t>(std::clamp((9 * edge - behind + 4) >> 3, 0, 255));
}

/// Fills the bars above and below, or left and right, of a picture that begins at `start` and is
/// `length` pixels long along the axis, from its two outermost lines; `bar` pixels each.
void fill_bars(Image& image, bool vertical, int64_t start, int64_t length) {
  const auto at = [&](int64_t along, int64_t across) {
    return vertical ? pixel(image, across, along) : pixel(image, along, across);
  };
  const int64_t breadth = vertical ? image.size.width : image.size.height;
  const int64_t whole = vertical ? image.size.height : image.size.width;
  const int64_t second = std::min<int64_t>(1, length - 1);
  for (int64_t across = 0; across < breadth; ++across)
    for (int64_t along = 0; along < start; ++along)
      for (int64_t c = 0; c < image.channels; ++c) {
        at(along, across)[c] = beyond_edge(at(start, across)[c], at(start + second, across)[c]);
        const int64_t last = start + length - 1;
        if (last + 1 + along < whole)
          at(last + 1 + along, across)[c] =
              beyond_edge(at(last, across)[c], at(last - second, across)[c]);
      }
}

/// `image` scaled to cover `size`, centred and cut: diffusers' resize mode "crop".
Image covering(const Image& image, PixelSize size) {
  const double ratio = static_cast<double>(size.width) / static_cast<double>(size.height);
  const double own = static_cast<double>(image.size.width) / static_cast<double>(image.size.height);
  const PixelSize scaled = {
      ratio > own ? size.width : image.size.width * size.height / image.size.height,
      ratio <= own ? size.height : image.size.height * size.width / image.size.width};
  Image result = filled(size, image.channels, 0);
  paste(result, resize_lanczos(image, scaled), size.width / 2 - scaled.width / 2,
        size.height / 2 - scaled.height / 2);
  return result;
}

InpaintSource on_blurred_canvas(const GenerationRequest& request) {
  InpaintSource source = on_canvas(request);
  source.mask = gaussian_blur(source.mask, request.mask_blur);
  return source;
}

}  // namespace

PixelSize canvas_size(const GenerationRequest& request) {
  PixelSize size = request.image->size;
  if (request.outpaint.empty()) return size;
  size.width += request.outpaint[0] + request.outpaint[2];
  size.height += request.outpaint[1] + request.outpaint[3];
  return size;
}

PixelBox masked_area(const Image& mask, int64_t padding, PixelSize size) {
  PixelBox box{mask.size.width, mask.size.height, 0, 0};
  for (int64_t y = 0; y < mask.size.height; ++y)
    for (int64_t x = 0; x < mask.size.width; ++x) {
      if (*pixel(mask, x, y) == 0) continue;
      box = {std::min(box.left, x), std::min(box.top, y), std::max(box.right, x + 1),
             std::max(box.bottom, y + 1)};
    }
  if (box.right == 0)
    throw InvalidRequest("[mask] all of it is black: there is nothing to repaint");
  box = {std::max<int64_t>(box.left - padding, 0), std::max<int64_t>(box.top - padding, 0),
         std::min(box.right + padding, mask.size.width),
         std::min(box.bottom + padding, mask.size.height)};
  const auto width = static_cast<double>(box.size().width);
  const auto height = static_cast<double>(box.size().height);
  const double ratio = static_cast<double>(size.width) / static_cast<double>(size.height);
  if (width / height > ratio)
    widen(box.top, box.bottom, width / ratio, mask.size.height);
  else
    widen(box.left, box.right, height * ratio, mask.size.width);
  return box;
}

Image fitted(const Image& image, PixelSize size) {
  const double ratio = static_cast<double>(size.width) / static_cast<double>(size.height);
  const double own = static_cast<double>(image.size.width) / static_cast<double>(image.size.height);
  const PixelSize scaled = {
      ratio < own ? size.width : image.size.width * size.height / image.size.height,
      ratio >= own ? size.height : image.size.height * size.width / image.size.width};
  Image result = filled(size, image.channels, 0);
  const int64_t left = size.width / 2 - scaled.width / 2;
  const int64_t top = size.height / 2 - scaled.height / 2;
  paste(result, resize_lanczos(image, scaled), left, top);
  if (ratio < own) fill_bars(result, /*vertical=*/true, top, scaled.height);
  if (ratio > own) fill_bars(result, /*vertical=*/false, left, scaled.width);
  return result;
}

PixelBox masked_area(const GenerationRequest& request) {
  return masked_area(on_blurred_canvas(request).mask, request.mask_padding, request.size());
}

InpaintSource inpaint_source(const GenerationRequest& request) {
  InpaintSource source = on_blurred_canvas(request);
  const PixelSize whole = source.canvas.size;
  if (request.inpaint_area == "whole") {
    source.area = {0, 0, whole.width, whole.height};
    source.picture = source.canvas;
    source.picture_mask = source.mask;
    return source;
  }
  const PixelSize size = request.size();
  source.area = masked_area(source.mask, request.mask_padding, size);
  source.picture = fitted(cut_out(colours(source.canvas), source.area), size);
  source.picture_mask = fitted(cut_out(source.mask, source.area), size);
  if (!has_grey_levels(source.mask)) source.picture_mask = cut_at_half(source.picture_mask);
  return source;
}

Image repainted_part(const GenerationRequest& request, const Image& over_canvas) {
  const PixelSize whole = canvas_size(request);
  const Image over = over_canvas.size == whole ? over_canvas : resize_lanczos(over_canvas, whole);
  return fitted(cut_out(colours(over), masked_area(request)), {*request.width, *request.height});
}

Image paste_back(const Image& repainted, const InpaintSource& source, bool keep) {
  if (source.area.size() == source.canvas.size)
    return keep ? keep_unmasked(repainted, source.canvas, source.mask) : repainted;
  Image result = colours(source.canvas);
  paste(result, covering(repainted, source.area.size()), source.area.left, source.area.top);
  return keep ? keep_unmasked(result, source.canvas, source.mask) : result;
}

Tensor paste_back(const Tensor& repainted, const InpaintSource& source, bool keep) {
  const PixelBox& area = source.area;
  const PixelSize size = area.size();
  const bool whole = size == source.canvas.size;
  if (whole && !keep) return repainted;
  const Tensor canvas = image_to_float(colours(source.canvas));
  Tensor result = canvas.clone();
  Tensor part = result.narrow(0, area.top, size.height).narrow(1, area.left, size.width);
  if (repainted.sizes() == part.sizes()) {
    part.copy_(repainted);
  } else {
    const Image levels = float_to_image(repainted);
    part.copy_(image_to_float(whole ? resize_lanczos(levels, size) : covering(levels, size)));
  }
  if (!keep) return result;
  const Tensor mask = image_to_float(source.mask);  // [H, W, 1]
  return result.mul_(mask).add_(canvas.mul(1 - mask));
}

}  // namespace sdrbee
