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
#include "sdrbee/generation/request_fields.h"
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

void tell_once(Generation& generation, std::string warning) {
  if (std::ranges::find(generation.warnings, warning) == generation.warnings.end())
    generation.warnings.push_back(std::move(warning));
}

void tell_stretching(Generation& generation, const std::string& field, PixelSize own,
                     PixelSize whole) {
  if (std::abs(proportions(own) / proportions(whole) - 1.0) <= kSameProportions) return;
  tell_once(generation,
            message("[", field, "] ", own.width, "x", own.height, " was stretched to ", whole.width,
                    "x", whole.height, "; cut it to these proportions to keep its shapes"));
}

std::string field_of_control(size_t index, const std::string& name) {
  return message("controls[", index, "].", name);
}

Tensor levels_of(const GenerationRequest& request, const Image& image, PixelSize size) {
  if (request.inpaint_area != "masked") return levels_to_tensor(image, size);
  return levels_to_tensor(repainted_part(request, image), size);
}

/// Whether a control that repaints is shown the source, with the margins that it gets.
bool sees_source(const GenerationRequest& request, const ControlRequest& control) {
  return control.type == kInpaintType && control.images.front() == *request.image;
}

ControlPicture control_picture(const GenerationRequest& request, const ControlRequest& control,
                               PixelSize size, Device device) {
  if (control.type != kInpaintType)
    return {.levels = levels_of(request, control.images.front(), size).to(device)};
  const InpaintSource source = inpaint_source(request);
  const Tensor levels = sees_source(request, control)
                            ? levels_to_tensor(source.picture, size)
                            : levels_of(request, control.images.front(), size);
  return {.levels = levels.to(device),
          .mask = mask_to_tensor(source.picture_mask, size).to(device)};
}

/// What a network is shown that takes one picture at the size of the one that is made.
Tensor whole_view(ImageModel& model, Generation& generation, size_t index, ControlNetwork& network,
                  NoiseSource& noise) {
  const GenerationRequest& request = generation.request;
  const ControlRequest& control = request.controls[index];
  if (control.images.size() > 1 || !control.masks.empty())
    throw InvalidRequest(message(
        "[controls[", index, "]] expected one picture and no mask but got ", control.images.size(),
        " and ", control.masks.size(), ": these are for IP-Adapters"));
  const PixelSize size = size_of_pass(generation, model.info());
  if (!sees_source(request, control))
    tell_stretching(generation, field_of_control(index, "image"), control.images.front().size,
                    whole_size(request, size));
  const ControlPicture picture = control_picture(request, control, size, model.device());
  Tensor shown = network.prepare(picture, model.autoencoder(), noise);
  for (std::string& warning : model.autoencoder().take_warnings())
    tell_once(generation, std::move(warning));
  return shown;
}

/// The masks of a control's pictures in black and white as IPAdapterMaskProcessor of diffusers
/// makes them, [1, pictures, H, W] fp32; undefined without masks.
Tensor masks_of(Generation& generation, size_t index, PixelSize size) {
  const GenerationRequest& request = generation.request;
  const std::vector<Image>& masks = request.controls[index].masks;
  std::vector<Tensor> all;
  for (const Image& mask : masks) {
    const std::string name = picture_name("mask", "masks", masks.size(), all.size());
    tell_stretching(generation, field_of_control(index, name), mask.size,
                    whole_size(request, size));
    const bool is_cut = request.inpaint_area == "masked";
    all.push_back(mask_to_tensor(is_cut ? repainted_part(request, mask) : mask, size));
  }
  return all.empty() ? Tensor() : at::cat(all, 1).ge(0.5).to(at::kFloat);
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

void check_mode(const ControlRequest& control, const ControlNetwork& network, size_t index) {
  if (!control.softens() || network.can_soften()) return;
  throw InvalidRequest(message("[controls[", index, "].mode] expected 'balanced' but got '",
                               control.mode, "': other modes are for networks that add to a UNet ",
                               "at several resolutions, and this is none"));
}

/// What each generation of a batch has as its control `index`, once for each of its rows; undefined
/// where they have none.
Tensor rows_of(std::span<const GenerationRows> batch, size_t index, Tensor OpenedControl::*member) {
  std::vector<Tensor> rows;
  for (const GenerationRows& part : batch)
    rows.insert(rows.end(), part.count, part.generation->controls[index].*member);
  return rows.front().defined() ? at::cat(rows) : Tensor();
}

}  // namespace

NoiseSource open_controls(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  const PixelSize size = size_of_pass(generation, model.info());
  // Always from the start, so that a generation that is read back sees what it saw before.
  NoiseSource noise(generation.noise.seed());
  std::vector<OpenedControl> opened;
  for (size_t i = 0; i < request.controls.size(); ++i) {
    const ControlRequest& control = request.controls[i];
    std::shared_ptr<ControlNetwork> network = model.control(control.model);
    network->check_size(size);
    check_mode(control, *network, i);
    const int64_t type = network->find_type(control.type);
    Tensor factors = control.blocks.empty() ? Tensor() : network->place_factors(control.blocks);
    std::optional<Tensor> shown = network->own_view(control.images);
    if (!shown) shown = whole_view(model, generation, i, *network, noise);
    const Tensor masks = masks_of(generation, i, size);
    opened.push_back({.network = std::move(network),
                      .image = shown->to(model.device()),
                      .masks = masks.defined() ? masks.to(model.device()) : masks,
                      .factors = std::move(factors),
                      .type = type});
  }
  generation.controls = std::move(opened);
  return noise;
}

std::vector<ControlInput> control_inputs(std::span<const GenerationRows> batch) {
  std::vector<ControlInput> inputs;
  for (size_t i = 0; i < batch.front().generation->controls.size(); ++i) {
    std::vector<Tensor> images;
    std::vector<float> strengths;
    std::vector<int64_t> taken_from;
    const OpenedControl& first = batch.front().generation->controls[i];
    const ControlRequest& asked = batch.front().generation->request.controls[i];
    for (const GenerationRows& part : batch) {
      const ControlRequest& control = part.generation->request.controls[i];
      const double strength = acts(control, *part.generation) ? control.strength : 0.0;
      const bool spares_base =
          part.base_first && (control.spares_base() || first.network->always_guesses());
      const bool base_follows =
          part.base_first && !spares_base && first.network->follows_prompt_alone();
      for (size_t row = 0; row < part.count; ++row) {
        const Tensor& image = part.generation->controls[i].image;
        const bool is_base = row == 0 && part.base_first;
        const bool runs = !is_base || !(spares_base || base_follows);
        images.push_back(is_base && first.network->blanks_base() ? at::zeros_like(image) : image);
        taken_from.push_back(std::ssize(strengths) + (is_base && base_follows ? 1 : 0));
        strengths.push_back(runs ? static_cast<float>(strength) : 0.0F);
      }
    }
    inputs.push_back({.network = first.network.get(),
                      .image = at::cat(images),
                      .strengths = at::tensor(strengths),
                      .masks = rows_of(batch, i, &OpenedControl::masks),
                      .factors = rows_of(batch, i, &OpenedControl::factors),
                      .guess_mode = asked.guess_mode,
                      .soft = asked.softens(),
                      .type = first.type});
    if (first.network->follows_prompt_alone()) inputs.back().taken_from = at::tensor(taken_from);
  }
  return inputs;
}

void add_controls_to_key(const Generation& generation, std::vector<int64_t>& key) {
  for (size_t i = 0; i < generation.controls.size(); ++i) {
    key.push_back(reinterpret_cast<int64_t>(generation.controls[i].network.get()));
    key.push_back(generation.request.controls[i].guess_mode ? 1 : 0);
    key.push_back(generation.request.controls[i].softens() ? 1 : 0);
    key.push_back(generation.controls[i].type);
    key.push_back(std::ssize(generation.request.controls[i].images));
    key.push_back(std::ssize(generation.request.controls[i].masks));
    key.push_back(generation.controls[i].factors.defined() ? 1 : 0);
  }
}

}  // namespace sdrbee
