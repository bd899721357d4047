#include "sdrbee/generation/controls.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/inpaint_source.h"
#include "sdrbee/generation/second_pass.h"
#include "sdrbee/generation/source_image.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee {
namespace {

constexpr double kSameProportions = 0.02;  // sides are rounded to multiples of the model's cells

double proportions(PixelSize size) {
  return static_cast<double>(size.width) / static_cast<double>(size.height);
}

/// What the picture lies on: the source where a part of it alone is repainted, else what is made.
PixelSize whole_size(const GenerationRequest& request, PixelSize made) {
  return request.inpaint_area == "masked" ? canvas_size(request) : made;
}

void tell_stretching(Generation& generation, size_t index, PixelSize whole) {
  const PixelSize own = generation.request.controls[index].image.size;
  if (std::abs(proportions(own) / proportions(whole) - 1.0) <= kSameProportions) return;
  std::string warning =
      message("[controls[", index, "].image] ", own.width, "x", own.height, " was stretched to ",
              whole.width, "x", whole.height, "; cut it to these proportions to keep its shapes");
  if (std::ranges::find(generation.warnings, warning) == generation.warnings.end())
    generation.warnings.push_back(std::move(warning));
}

Tensor levels_of(const GenerationRequest& request, const Image& image, PixelSize size) {
  if (request.inpaint_area != "masked") return levels_to_tensor(image, size);
  return levels_to_tensor(repainted_part(request, image), size);
}

/// Whether a control that repaints is shown the source, with the margins that it gets.
bool sees_source(const GenerationRequest& request, const ControlRequest& control) {
  return control.type == kInpaintType && control.image == *request.image;
}

/// The picture with -1 where the mask is white.
/// https://huggingface.co/lllyasviel/control_v11p_sd15_inpaint
Tensor without_masked(const GenerationRequest& request, const ControlRequest& control,
                      PixelSize size) {
  const InpaintSource source = inpaint_source(request);
  const Tensor levels = sees_source(request, control) ? levels_to_tensor(source.picture, size)
                                                      : levels_of(request, control.image, size);
  return levels.masked_fill(mask_to_tensor(source.picture_mask, size).gt(0.5), -1.0);
}

Tensor prepared_image(const GenerationRequest& request, const ControlRequest& control,
                      PixelSize size) {
  return control.type == kInpaintType ? without_masked(request, control, size)
                                      : levels_of(request, control.image, size);
}

/// Whether a control acts in the generation's next step, as in diffusers: while it is wholly within
/// the part from `start` to `end` of the steps.
bool acts(const ControlRequest& control, const Generation& generation) {
  if (generation.plan.open_ended())
    return generation.history.progress >= control.start &&
           generation.history.progress <= control.end;
  const auto count = static_cast<double>(generation.end_step - generation.first_step);
  const auto step = static_cast<double>(generation.next_step - generation.first_step);
  return step / count >= control.start && (step + 1) / count <= control.end;
}

bool guesses(const ControlRequest& control, const ControlNetwork& network) {
  return control.guess_mode || network.always_guesses();
}

}  // namespace

void open_controls(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  const PixelSize size = size_of_pass(generation, model.info());
  std::vector<OpenedControl> opened;
  for (size_t i = 0; i < request.controls.size(); ++i) {
    const ControlRequest& control = request.controls[i];
    std::shared_ptr<ControlNetwork> network = model.control(control.model);
    network->check_size(size);
    std::optional<Tensor> shown = network->own_view(control.image);
    if (!shown) {
      if (!sees_source(request, control)) tell_stretching(generation, i, whole_size(request, size));
      shown = prepared_image(request, control, size);
    }
    const int64_t type = network->find_type(control.type);
    opened.push_back(
        {.network = std::move(network), .image = shown->to(model.device()), .type = type});
  }
  generation.controls = std::move(opened);
}

std::vector<ControlInput> control_inputs(std::span<const GenerationRows> batch) {
  std::vector<ControlInput> inputs;
  for (size_t i = 0; i < batch.front().generation->controls.size(); ++i) {
    std::vector<Tensor> images;
    std::vector<float> strengths;
    const OpenedControl& first = batch.front().generation->controls[i];
    const ControlRequest& asked = batch.front().generation->request.controls[i];
    for (const GenerationRows& part : batch) {
      const ControlRequest& control = part.generation->request.controls[i];
      const double strength = acts(control, *part.generation) ? control.strength : 0.0;
      const bool spares_base = part.base_first && guesses(control, *first.network);
      for (size_t row = 0; row < part.count; ++row) {
        const Tensor& image = part.generation->controls[i].image;
        const bool blank = row == 0 && part.base_first && first.network->blanks_base();
        images.push_back(blank ? at::zeros_like(image) : image);
        strengths.push_back(row == 0 && spares_base ? 0.0F : static_cast<float>(strength));
      }
    }
    inputs.push_back({.network = first.network.get(),
                      .image = at::cat(images),
                      .strengths = at::tensor(strengths),
                      .guess_mode = guesses(asked, *first.network),
                      .type = first.type});
  }
  return inputs;
}

void add_controls_to_key(const Generation& generation, std::vector<int64_t>& key) {
  for (size_t i = 0; i < generation.controls.size(); ++i) {
    key.push_back(reinterpret_cast<int64_t>(generation.controls[i].network.get()));
    key.push_back(generation.request.controls[i].guess_mode ? 1 : 0);
    key.push_back(generation.controls[i].type);
  }
}

}  // namespace sdrbee
