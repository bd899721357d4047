#include "sdrbee/generation/second_pass.h"

#include <ATen/ops/upsample_bilinear2d.h>

#include "sdrbee/core/resample.h"
#include "sdrbee/generation/conditions.h"
#include "sdrbee/generation/controls.h"
#include "sdrbee/generation/draw_latents.h"
#include "sdrbee/generation/plan_request.h"
#include "sdrbee/generation/source_image.h"
#include "sdrbee/generation/tiling.h"
#include "sdrbee/models/computing.h"

namespace sdrbee {
namespace {

/// The latents of the first pass at the size of the second.
Tensor enlarged(ImageModel& model, Generation& generation, PixelSize size) {
  const int64_t cell = model.info().latent_downscale;
  if (generation.request.hires_upscaler == "latent")
    return at::upsample_bilinear2d(generation.latents, {size.height / cell, size.width / cell},
                                   /*align_corners=*/false);
  const Image small =
      float_to_image(picture_to_float(model.autoencoder().decode(generation.latents)));
  return encode_picture(model, generation, picture_to_tensor(resize_lanczos(small, size), size));
}

}  // namespace

PixelSize hires_size(const GenerationRequest& request, const ModelInfo& info) {
  const auto side = [&](int64_t pixels) {
    const auto scaled = static_cast<int64_t>(static_cast<double>(pixels) * *request.hires_scale);
    return scaled / info.sizes.multiple * info.sizes.multiple;
  };
  return {side(*request.width), side(*request.height)};
}

PixelSize size_of_pass(const Generation& generation, const ModelInfo& info) {
  return generation.pass == 0 ? generation.request.size() : hires_size(generation.request, info);
}

void begin_second_pass(ImageModel& model, Generation& generation) {
  const Computing computing(model);
  const nn::CircularPadding padding = padding_of(generation.request);
  PassPlan pass = plan_second_pass(generation.request, model.info());
  const PixelSize size = hires_size(generation.request, model.info());
  if (generation.request.control_image) {
    show_control_image(model, generation, size);
    attach_pictures(generation);
  }
  const Tensor source = enlarged(model, generation, size);
  const Tensor noise = generation.noise.normal(source.sizes()).to(model.device());
  generation.latents = pass.plan.add_start_noise(source, noise, pass.first_step);
  generation.denoised = Tensor();
  generation.history = {};
  generation.steps_before += generation.next_step - generation.first_step;
  generation.steps_after = 0;
  generation.pass = 1;
  generation.first_step = generation.next_step = pass.first_step;
  generation.end_step = pass.plan.step_count();
  generation.plan = std::move(pass.plan);
  const GenerationRequest& request = generation.request;
  // A plain prompt is the same in both passes, unless the second has its own.
  if (model.info().capabilities.framing || request.prompt_syntax != "plain" ||
      request.hires_prompt || request.hires_negative_prompt)
    restore_conditions(model, generation);
  else
    open_controls(model, generation);
}

}  // namespace sdrbee
