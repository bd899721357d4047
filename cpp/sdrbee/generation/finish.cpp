// The end of a generation: latents to picture.

#include <algorithm>
#include <iterator>

#include "sdrbee/core/check.h"
#include "sdrbee/core/heap.h"
#include "sdrbee/generation/generation.h"
#include "sdrbee/generation/inpaint_source.h"
#include "sdrbee/generation/recipe.h"
#include "sdrbee/generation/source_image.h"
#include "sdrbee/generation/tiling.h"
#include "sdrbee/models/computing.h"

namespace sdrbee {

GeneratedImage finish(ImageModel& model, Generation&& generation) {
  SDRBEE_CHECK(generation.done(), "finish before the last step");
  const Computing computing(model);
  const GenerationRequest& request = generation.request;
  GeneratedImage result;
  result.seed = *request.seed;
  result.recipe = make_recipe(model, generation);
  result.warnings = std::move(generation.warnings);
  if (request.output == "latent") {
    result.array = generation.latents[0].to(at::kCPU, at::kFloat).contiguous();
    return result;
  }
  const nn::CircularPadding padding = padding_of(request);
  give_back_freed_memory();
  const Tensor values = picture_to_float(model.autoencoder().decode(generation.latents));
  std::ranges::move(model.autoencoder().take_warnings(), std::back_inserter(result.warnings));
  const bool inpaints = request.mode() == Mode::Inpaint;
  const InpaintSource source = inpaints ? inpaint_source(request) : InpaintSource{};
  if (request.output == "float") {
    result.array = inpaints ? paste_back(values, source, request.keep_unmasked) : values;
    return result;
  }
  result.image = float_to_image(values);
  if (inpaints) result.image = paste_back(result.image, source, request.keep_unmasked);
  return result;
}

}  // namespace sdrbee
