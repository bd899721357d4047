#include "sdrbee/generation/request.h"

#include <algorithm>
#include <random>
#include <tuple>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/field_checks.h"
#include "sdrbee/generation/inpaint_source.h"
#include "sdrbee/generation/prompt_plan.h"
#include "sdrbee/generation/request_adapters.h"
#include "sdrbee/generation/second_pass.h"
#include "sdrbee/sampling/samplers.h"
#include "sdrbee/sampling/schedules.h"
#include "sdrbee/text/prompt_syntax.h"

namespace sdrbee {
namespace {

constexpr int64_t kMaxClipSkip = 11;
constexpr int64_t kMaxSteps = 10000;
constexpr int64_t kMaxCount = 64;
constexpr int64_t kMaxFramingSide = 65536;
constexpr int64_t kMaxMargin = 8192;
constexpr double kMaxScale = 8.0;
constexpr double kMaxBlur = 512.0;

int64_t nearest_side(int64_t pixels, const SizeLimits& limits) {
  const int64_t low = (limits.minimum + limits.multiple - 1) / limits.multiple * limits.multiple;
  const int64_t high = limits.maximum / limits.multiple * limits.multiple;
  const int64_t clamped = std::clamp(pixels, low, high);
  return std::min(high, (clamped + limits.multiple / 2) / limits.multiple * limits.multiple);
}

void check_side(const char* field, int64_t pixels, const SizeLimits& limits) {
  if (pixels >= limits.minimum && pixels <= limits.maximum && pixels % limits.multiple == 0) return;
  throw InvalidRequest(message("[", field, "] expected a multiple of ", limits.multiple, " from ",
                               limits.minimum, " to ", limits.maximum, " but got ", pixels,
                               "; the nearest valid value is ", nearest_side(pixels, limits)));
}

/// The source picture's own side, floored to what the model takes.
int64_t floored_side(int64_t pixels, const SizeLimits& limits) {
  return std::max(limits.multiple, pixels / limits.multiple * limits.multiple);
}

void resolve_latents(GenerationRequest& request, const ModelInfo& info) {
  const LatentImage& latents = *request.latents;
  const int64_t elements = latents.channels * latents.size.width * latents.size.height;
  if (latents.channels != info.latent_channels || elements < 1 ||
      std::ssize(latents.values) != elements)
    throw InvalidRequest(message("[latents] expected an array [", info.latent_channels,
                                 ", height, width] but got [", latents.channels, ", ",
                                 latents.size.height, ", ", latents.size.width, "]"));
  const PixelSize own = {latents.size.width * info.latent_downscale,
                         latents.size.height * info.latent_downscale};
  if (request.width.value_or(own.width) != own.width ||
      request.height.value_or(own.height) != own.height)
    throw InvalidRequest(message("[latents] they are of a picture of ", own.width, "x", own.height,
                                 ": leave width and height out"));
  request.width = own.width;
  request.height = own.height;
}

/// The size of a picture that the request gives none for.
PixelSize usual_size(const GenerationRequest& request, const ModelInfo& info) {
  if (!request.image) return info.default_size;
  if (info.capabilities.reference_image) return info.reference_fit(canvas_size(request)).cut;
  return request.inpaint_area == "whole" ? canvas_size(request) : info.default_size;
}

void resolve_size(GenerationRequest& request, const ModelInfo& info) {
  if (request.latents) resolve_latents(request, info);
  const SizeLimits& limits = info.sizes;
  const bool has_image = request.image.has_value();
  const PixelSize own = usual_size(request, info);
  const bool from_picture = has_image && request.inpaint_area == "whole";
  if (!request.width) request.width = from_picture ? floored_side(own.width, limits) : own.width;
  if (!request.height)
    request.height = from_picture ? floored_side(own.height, limits) : own.height;
  check_side("width", *request.width, limits);
  check_side("height", *request.height, limits);
}

void check_mode(const GenerationRequest& request, const ModelInfo& info) {
  const Capabilities& can = info.capabilities;
  switch (request.mode()) {
    case Mode::Inpaint:
      if (!can.inpaint) throw InvalidRequest("[mask] this model can't inpaint; leave the mask out");
      return;
    case Mode::ImageToImage:
      if (!can.image_to_image && can.inpaint)
        throw InvalidRequest(message("[mask] the model '", info.variant,
                                     "' inpaints only: give a `mask` too (all white repaints "
                                     "the whole picture)"));
      if (!can.image_to_image) throw InvalidRequest("[image] this model starts from text only");
      return;
    case Mode::TextToImage:
      if (!can.text_to_image)
        throw InvalidRequest(message("[image] the model '", info.variant,
                                     "' works on a picture: give ",
                                     can.image_to_image ? "`image`" : "`image` and `mask`"));
      return;
  }
}

/// What the network is shown beside the picture that is made.
void check_shown(const GenerationRequest& request, const ModelInfo& info) {
  const Capabilities& can = info.capabilities;
  if (request.control_image) check_picture("control_image", *request.control_image);
  if (can.control_image && !request.control_image)
    throw InvalidRequest(message("[control_image] the model '", info.variant,
                                 "' follows a control image: give `control_image`"));
  if (!can.control_image && request.control_image)
    throw InvalidRequest("[control_image] this model isn't given one; leave it out");
  if (!can.reference_image) return;
  if (request.latents)
    throw InvalidRequest(message("[latents] the model '", info.variant,
                                 "' is shown a picture: give `image` instead"));
  if (request.mode() == Mode::Inpaint) return;
  const std::string reason = message("the model '", info.variant, "' is shown `image` and starts ",
                                     "from noise; leave it out");
  if (request.strength) throw InvalidRequest("[strength] " + reason);
  if (request.denoising_start) throw InvalidRequest("[denoising_start] " + reason);
}

void check_outpaint(const GenerationRequest& request) {
  if (!request.image)
    throw InvalidRequest("[outpaint] needs the picture to enlarge: give `image` too");
  if (request.outpaint.size() != 4)
    throw InvalidRequest(
        message("[outpaint] expected 4 numbers (left, top, right, bottom) but got ",
                request.outpaint.size()));
  for (const int64_t margin : request.outpaint) check_integer("outpaint", margin, 0, kMaxMargin);
  if (std::ranges::max(request.outpaint) == 0 && !request.mask)
    throw InvalidRequest("[outpaint] all four are 0: there is nothing to paint");
}

/// The reasons are in docs/generation.md.
void check_hires(const GenerationRequest& request) {
  if (!request.hires_scale) {
    for (const auto& [field, given] :
         {std::pair{"hires_steps", request.hires_steps.has_value()},
          {"hires_prompt", request.hires_prompt.has_value()},
          {"hires_negative_prompt", request.hires_negative_prompt.has_value()}})
      if (given)
        throw InvalidRequest(
            message("[", field, "] has no effect without hires_scale; leave it out"));
    return;
  }
  check_number("hires_scale", *request.hires_scale, 1.0, kMaxScale);
  check_number("hires_denoising_strength", request.hires_denoising_strength, 0.0, 1.0);
  if (request.hires_steps) check_integer("hires_steps", *request.hires_steps, 1, kMaxSteps);
  for (const auto& [field, given, reason] :
       {std::tuple{"mask", request.mask.has_value(), "would repaint what the mask keeps"},
        {"outpaint", !request.outpaint.empty(), "would repaint what the mask keeps"},
        {"denoising_end", request.denoising_end.has_value(), "needs a finished picture"},
        {"sigmas", !request.sigmas.empty(), "has noise levels of its own"}})
    if (given)
      throw InvalidRequest(message("[hires_scale] a second pass ", reason,
                                   ", so it can't go with `", field, "`; leave one of them out"));
}

/// Fills in the second pass and checks its size.
void resolve_hires(GenerationRequest& request, const ModelInfo& info) {
  if (!request.hires_scale) return;
  if (!request.hires_steps) request.hires_steps = request.steps;
  const PixelSize size = hires_size(request, info);
  for (const int64_t side : {size.width, size.height})
    if (side > info.sizes.maximum)
      throw InvalidRequest(message("[hires_scale] the second pass would be of ", size.width, "x",
                                   size.height, " pixels but the model takes at most ",
                                   info.sizes.maximum));
}

void check_inputs(const GenerationRequest& request) {
  if (request.mask && !request.image)
    throw InvalidRequest("[mask] a mask needs the picture that it belongs to: give `image` too");
  const bool starts_from_picture = request.image || request.latents;
  if (request.image && request.latents)
    throw InvalidRequest("[latents] `image` and `latents` are two sources: give one of them");
  if (request.strength && !starts_from_picture)
    throw InvalidRequest(
        "[strength] has a meaning only with `image`: give `image` or leave it out");
  if (request.denoising_start && !starts_from_picture)
    throw InvalidRequest(
        "[denoising_start] needs what the other model made: give `latents` or `image`");
  if (!request.outpaint.empty()) check_outpaint(request);
  for (const auto& [field, given] : {std::pair{"inpaint_area", request.inpaint_area == "masked"},
                                     {"mask_blur", request.mask_blur > 0}})
    if (given && request.mode() != Mode::Inpaint)
      throw InvalidRequest(
          message("[", field, "] has a meaning only with `mask` or `outpaint`; leave it out"));
  if (request.output == "latent" && request.inpaint_area == "masked")
    throw InvalidRequest(
        "[output] the latents of inpaint_area='masked' are of the part that is cut out alone; ask "
        "for 'image' or 'float', or cut it out yourself");
  if (request.denoising_start && request.strength)
    throw InvalidRequest("[strength] has no effect with denoising_start; leave it out");
  if (request.image) check_picture("image", *request.image);
  if (!request.mask) return;
  check_picture("mask", *request.mask);
  if (request.mask->size != request.image->size)
    throw InvalidRequest(message("[mask] expected the size of `image`, ", request.image->size.width,
                                 "x", request.image->size.height, ", but got ",
                                 request.mask->size.width, "x", request.mask->size.height));
}

void check_texts(const GenerationRequest& request, const Capabilities& can) {
  for (const auto& [field, text, able, encoder] :
       {std::tuple{"prompt_2", &request.prompt_2, can.prompt_2, "second"},
        {"negative_prompt_2", &request.negative_prompt_2, can.prompt_2, "second"},
        {"prompt_3", &request.prompt_3, can.prompt_3, "third"},
        {"negative_prompt_3", &request.negative_prompt_3, can.prompt_3, "third"}})
    if (*text && !able)
      throw InvalidRequest(
          message("[", field, "] this model has no ", encoder, " text encoder; leave it out"));
}

void resolve_sequence_length(GenerationRequest& request, const ModelInfo& info) {
  std::optional<int64_t>& length = request.max_sequence_length;
  if (info.max_sequence_length == 0) {
    if (length)
      throw InvalidRequest(
          "[max_sequence_length] this model has no T5 or Qwen3 encoder; leave it out");
    return;
  }
  if (!length) length = info.max_sequence_length;
  check_integer("max_sequence_length", *length, 1, info.sequence_limit);
}

void check_clip_skip(const GenerationRequest& request, const ModelInfo& info) {
  if (request.clip_skip > 0 && info.max_clip_skip == 0)
    throw InvalidRequest(
        message("[clip_skip] expected 0, as no layer of this model's text encoder ",
                "can be left out, but got ", request.clip_skip));
  check_integer("clip_skip", request.clip_skip, 0, std::min(kMaxClipSkip, info.max_clip_skip));
}

void check_skipped_layers(const GenerationRequest& request, const ModelInfo& info) {
  const std::vector<int64_t>& layers = request.skip_guidance_layers;
  if (!layers.empty() && info.skippable_layers == 0)
    throw InvalidRequest("[skip_guidance_layers] has no effect on this model; leave it out");
  for (const int64_t layer : layers)
    check_integer("skip_guidance_layers", layer, 0, info.skippable_layers - 1);
  check_finite("skip_layer_guidance_scale", request.skip_layer_guidance_scale);
  check_number("skip_layer_guidance_start", request.skip_layer_guidance_start, 0.0, 1.0);
  check_number("skip_layer_guidance_stop", request.skip_layer_guidance_stop, 0.0, 1.0);
}

void resolve_true_guidance(GenerationRequest& request, const Capabilities& can) {
  std::optional<double>& scale = request.true_guidance_scale;
  if (scale && !can.true_guidance)
    throw InvalidRequest(message("[true_guidance_scale] this model doesn't take it; leave it out",
                                 can.guidance ? " (guidance_scale does the same)" : ""));
  if (!can.true_guidance) return;
  if (!scale) scale = 1.0;
  check_finite("true_guidance_scale", *scale);
}

/// Fills in how the picture is framed: uncropped, at its own size.
void resolve_framing(GenerationRequest& request, const Capabilities& can) {
  const std::vector<int64_t> own = {*request.width, *request.height};
  for (auto& [field, values, usual, least] :
       {std::tuple{"original_size", &request.original_size, own, int64_t{1}},
        {"target_size", &request.target_size, own, 1},
        {"crop", &request.crop, std::vector<int64_t>{0, 0}, 0}}) {
    if (values->empty()) {
      if (can.framing) *values = usual;
      continue;
    }
    if (!can.framing)
      throw InvalidRequest(message("[", field, "] this model isn't told sizes; leave it out"));
    if (values->size() != 2)
      throw InvalidRequest(message("[", field, "] expected 2 numbers but got ", values->size()));
    for (const int64_t value : *values) check_integer(field, value, least, kMaxFramingSide);
  }
}

/// Unknown names are told before the combinations that the plan checks.
void check_names(const GenerationRequest& request) {
  if (request.sampler) sampling::find_sampler(*request.sampler);
  if (request.schedule && request.sigmas.empty()) sampling::find_schedule(*request.schedule);
}

void check_sigmas(const GenerationRequest& request) {
  const std::vector<double>& sigmas = request.sigmas;
  for (size_t i = 0; i < sigmas.size(); ++i) {
    check_number("sigmas", sigmas[i], 0.0, 1e6);
    if (i > 0 && !(sigmas[i] < sigmas[i - 1]))
      throw InvalidRequest(message("[sigmas] expected falling values but got ", sigmas[i - 1],
                                   " before ", sigmas[i], " at index ", i));
  }
}

void check_ranges(const GenerationRequest& request) {
  if (!text::find_prompt_syntax(request.prompt_syntax))
    throw InvalidRequest(message("[prompt_syntax] expected one of ", text::prompt_syntax_names(),
                                 " but got '", request.prompt_syntax, "'"));
  check_choice("long_prompt", request.long_prompt, {"chunk", "truncate", "error"});
  check_choice("output", request.output, {"image", "float", "latent"});
  check_choice("preview", request.preview, {"none", "fast", "full"});
  check_choice("inpaint_area", request.inpaint_area, {"whole", "masked"});
  check_choice("hires_upscaler", request.hires_upscaler, {"latent", "lanczos"});
  check_choice("tiling", request.tiling, {"none", "x", "y", "xy"});
  check_integer("mask_padding", request.mask_padding, 0, kMaxMargin);
  check_number("mask_blur", request.mask_blur, 0.0, kMaxBlur);
  check_integer("count", request.count, 1, kMaxCount);
  if (request.steps) check_integer("steps", *request.steps, 1, kMaxSteps);
  check_finite("guidance_scale", *request.guidance_scale);
  check_number("guidance_rescale", request.guidance_rescale, 0.0, 1.0);
  check_number("guidance_start", request.guidance_start, 0.0, 1.0);
  check_number("guidance_end", request.guidance_end, request.guidance_start, 1.0);
  if (request.strength) check_number("strength", *request.strength, 0.0, 1.0);
  if (request.denoising_start) check_number("denoising_start", *request.denoising_start, 0.0, 1.0);
  if (request.denoising_end)
    check_number("denoising_end", *request.denoising_end, request.denoising_start.value_or(0.0),
                 1.0);
  if (request.eta) check_number("eta", *request.eta, 0.0, 1.0);
  check_number("s_churn", request.s_churn, 0.0, 1e3);
  check_number("s_noise", request.s_noise, 0.0, 1e3);
}

}  // namespace

Mode GenerationRequest::mode() const {
  if (mask || !outpaint.empty()) return Mode::Inpaint;
  return image || latents ? Mode::ImageToImage : Mode::TextToImage;
}

GenerationRequest resolve(GenerationRequest request, const ModelInfo& info) {
  check_inputs(request);
  check_hires(request);
  check_mode(request, info);
  check_shown(request, info);
  check_texts(request, info.capabilities);
  resolve_adapters(request, info.capabilities);
  check_sigmas(request);
  check_names(request);
  const ModeDefaults& defaults = info.defaults(request.mode());
  // Own sigmas are counted when the plan is made.
  if (!request.steps && request.sigmas.empty()) request.steps = defaults.steps;
  if (!request.guidance_scale) request.guidance_scale = defaults.guidance_scale;
  resolve_true_guidance(request, info.capabilities);
  const bool from_picture =
      request.mode() == Mode::Inpaint ||
      (request.mode() == Mode::ImageToImage && !info.capabilities.reference_image);
  if (from_picture && !request.denoising_start && !request.strength)
    request.strength = defaults.strength;
  // 32 bits, as other programs choose: such a seed survives JSON and spreadsheets.
  if (!request.seed) request.seed = std::random_device{}();
  resolve_size(request, info);
  resolve_framing(request, info.capabilities);
  resolve_sequence_length(request, info);
  check_clip_skip(request, info);
  check_skipped_layers(request, info);
  check_ranges(request);
  resolve_hires(request, info);
  if (request.tiling != "none" && !info.capabilities.tiling)
    throw InvalidRequest(
        "[tiling] this model's network is told where the edges are and can't wrap around; expected "
        "'none'");
  check_prompts(request, info);
  return request;
}

std::vector<GenerationRequest> split_count(const GenerationRequest& resolved) {
  std::vector<GenerationRequest> singles(static_cast<size_t>(resolved.count), resolved);
  for (size_t i = 0; i < singles.size(); ++i) {
    singles[i].count = 1;
    singles[i].seed = resolved.seed.value() + i;
  }
  return singles;
}

}  // namespace sdrbee
