#include "sdrbee/generation/draw_latents.h"

#include <algorithm>
#include <iterator>

#include "sdrbee/generation/inpaint_source.h"
#include "sdrbee/generation/source_image.h"

namespace sdrbee {
namespace {

/// Noise of the latents' shape, on the CPU.
Tensor draw_noise(const ImageModel& model, Generation& generation) {
  const ModelInfo& info = model.info();
  const PixelSize size = generation.request.size();
  return generation.noise.normal({1, info.latent_channels, size.height / info.latent_downscale,
                                  size.width / info.latent_downscale});
}

/// Pure noise without a source; else the source raised to where the first step begins, or as it is
/// when another model has brought it there.
Tensor first_latents(const Generation& generation, const Tensor& source, const Tensor& noise) {
  const sampling::Plan& plan = generation.plan;
  if (!source.defined()) return noise * plan.initial_noise_scale();
  if (generation.request.denoising_start) return source;
  return plan.add_start_noise(source, noise, generation.first_step);
}

/// The most probable latents of a picture [1, 3, H, W], without a draw.
Tensor encode_reference(ImageModel& model, const Tensor& picture) {
  return model.autoencoder().encode(picture.to(model.device())).mean;
}

void draw_image_to_image(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  Tensor source;
  if (request.latents)
    source = latents_to_tensor(*request.latents).to(model.device());
  else
    source = encode_picture(model, generation, picture_to_tensor(*request.image, request.size()));
  Tensor noise;
  if (!request.denoising_start) noise = generation.noise.normal(source.sizes()).to(model.device());
  generation.latents = first_latents(generation, source, noise);
}

/// diffusers encodes the masked picture also for networks without mask channels, which never see
/// it; but its draw moves the generator.
void pass_over_masked_picture(const ImageModel& model, Generation& generation) {
  draw_noise(model, generation);
}

void draw_inpaint(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  const PixelSize size = request.size();
  const ModelInfo& info = model.info();
  const bool native = info.capabilities.native_inpaint;
  const bool from_pure_noise = request.strength == 1.0;
  const InpaintSource prepared = inpaint_source(request);
  const Tensor picture = picture_to_tensor(prepared.picture, size);
  Tensor mask = mask_to_tensor(prepared.picture_mask, size);
  if (native) mask = mask.ge(0.5).to(at::kFloat);  // such networks learnt from masks of 0 and 1
  Tensor source;
  if (info.capabilities.reference_image)
    source = generation.reference = encode_reference(model, picture);
  else if (!native || !from_pure_noise || info.always_encodes_source)
    source = encode_picture(model, generation, picture);
  const Tensor noise = draw_noise(model, generation).to(model.device());
  generation.latents = first_latents(generation, from_pure_noise ? Tensor() : source, noise);
  if (native) {
    const Tensor masked = encode_picture(model, generation, picture * (1 - mask));
    generation.input_channels = model.inpaint_channels(mask, masked);
    return;
  }
  if (!request.control_image) pass_over_masked_picture(model, generation);
  const Tensor cells = mask_by_cells(mask, info.latent_downscale).to(model.device());
  generation.masked = MaskedSource{source, noise, cells};
}

}  // namespace

void draw_latents(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  if (request.control_image) {
    // FluxControlInpaintPipeline has the masked picture first, all others have it last.
    if (request.mode() == Mode::Inpaint) pass_over_masked_picture(model, generation);
    show_control_image(model, generation, request.size());
  }
  if (request.mode() == Mode::Inpaint) return draw_inpaint(model, generation);
  const bool shown = model.info().capabilities.reference_image;
  if (request.mode() == Mode::ImageToImage && !shown) return draw_image_to_image(model, generation);
  if (request.image) {
    const ReferenceFit fit = model.info().reference_fit(request.image->size);
    const Tensor scaled = picture_to_tensor(*request.image, fit.scaled);
    generation.reference = encode_reference(
        model, scaled.narrow(2, (fit.scaled.height - fit.cut.height) / 2, fit.cut.height)
                   .narrow(3, (fit.scaled.width - fit.cut.width) / 2, fit.cut.width));
  }
  generation.latents =
      first_latents(generation, {}, draw_noise(model, generation).to(model.device()));
}

Tensor encode_picture(ImageModel& model, Generation& generation, const Tensor& picture) {
  const LatentPosterior posterior = model.autoencoder().encode(picture.to(model.device()));
  std::ranges::move(model.autoencoder().take_warnings(), std::back_inserter(generation.warnings));
  return posterior.sample(generation.noise.normal(posterior.mean.sizes()));
}

void show_control_image(ImageModel& model, Generation& generation, PixelSize size) {
  generation.input_channels =
      encode_picture(model, generation, picture_to_tensor(*generation.request.control_image, size));
}

}  // namespace sdrbee
