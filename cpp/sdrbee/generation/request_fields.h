// The one list of request fields: JSON, Python, the command line and the docs are made from it.
#pragma once

#include "sdrbee/core/error.h"
#include "sdrbee/generation/request.h"

namespace sdrbee {

/// Name, default-bearing member and documentation of a field, handed to a visitor:
/// `visit(std::string_view name, Type GenerationRequest::*member, std::string_view doc)`.
/// Pictures are in the list below; `latents` and `controls` are in neither, being values of their
/// own kinds.
template <typename Visitor>
void visit_request_fields(Visitor&& visit) {
  using R = GenerationRequest;
  visit("prompt", &R::prompt, "what the picture shows; may be empty");
  visit("prompt_2", &R::prompt_2,
        "text for the second text encoder of models that have one; `prompt` when not given");
  visit("prompt_3", &R::prompt_3,
        "text for the third text encoder (T5 of sd3); `prompt` when not given");
  visit("negative_prompt", &R::negative_prompt,
        "what to keep away from (needs guidance_scale > 1); none and an empty one differ for xl");
  visit("negative_prompt_2", &R::negative_prompt_2,
        "negative text for the second text encoder; `negative_prompt` when not given");
  visit("negative_prompt_3", &R::negative_prompt_3,
        "negative text for the third text encoder; `negative_prompt` when not given");
  visit("prompt_syntax", &R::prompt_syntax,
        "how prompts are read: 'plain', 'a1111' with (more:1.3) and [less], or 'compel' with more+ "
        "and less-; docs/prompts.md has all of it");
  visit("long_prompt", &R::long_prompt,
        "'chunk' encodes a prompt over 75 tokens in pieces, 'truncate' cuts it with a warning, "
        "'error' refuses it");
  visit("embeddings", &R::embeddings,
        "textual inversions whose names are words of the prompts: files or names in the model "
        "store, or dicts of name (the word) and path");
  visit("embeddings_dir", &R::embeddings_dir,
        "a folder of textual inversions: those whose file names are words of the prompts act");
  visit("max_sequence_length", &R::max_sequence_length,
        "tokens of the T5 text encoder, 1..512; a longer prompt is cut with a warning, or refused "
        "by long_prompt='error'");
  visit("clip_skip", &R::clip_skip, "text encoder layers left out at the end, 0..11");
  visit("width", &R::width, "width in pixels");
  visit("height", &R::height, "height in pixels");
  visit("original_size", &R::original_size,
        "xl: width and height before cropping that the picture should look like it had");
  visit("target_size", &R::target_size, "xl: width and height that it should look cropped to");
  visit("crop", &R::crop, "xl: left and top of the crop in pixels of the original");
  visit("count", &R::count, "number of pictures, 1..64; picture i has seed + i");
  visit("seed", &R::seed, "seed of the noise, 0..2^64-1; random when not given");
  visit("steps", &R::steps, "denoising steps, 1..10000; follows from `sigmas` when they are given");
  visit("guidance_scale", &R::guidance_scale,
        "weight of the prompt against the negative prompt; 1 or less switches guidance off; an "
        "input of the network for guidance-distilled models");
  visit("true_guidance_scale", &R::true_guidance_scale,
        "flux: weight of the prompt against `negative_prompt`, beside guidance_scale; 1 is off");
  visit("guidance_rescale", &R::guidance_rescale,
        "0..1, pulls the guided prediction's contrast back (Lin et al. 2023, arXiv:2305.08891)");
  visit("guidance_start", &R::guidance_start, "0..1, the part of the steps before guidance begins");
  visit("guidance_end", &R::guidance_end, "0..1, the part of the steps at which guidance ends");
  visit("skip_guidance_layers", &R::skip_guidance_layers,
        "sd3: blocks that skip-layer guidance leaves out, e.g. 7, 8, 9 for sd3.5-medium; it pushes "
        "away from what the network makes without them");
  visit("skip_layer_guidance_scale", &R::skip_layer_guidance_scale,
        "weight of skip-layer guidance");
  visit("skip_layer_guidance_start", &R::skip_layer_guidance_start,
        "0..1, the part of the steps after which skip-layer guidance begins");
  visit("skip_layer_guidance_stop", &R::skip_layer_guidance_stop,
        "0..1, the part of the steps before which skip-layer guidance ends");
  visit("sampler", &R::sampler, "sampler name, see `sdrbee samplers`");
  visit("schedule", &R::schedule, "noise schedule name, see `sdrbee samplers`");
  visit("spacing", &R::spacing, "timestep spacing: leading, linspace or trailing");
  visit("sigmas", &R::sigmas,
        "noise levels of your own, falling: with the last one, usually 0, for diffusion models, "
        "without "
        "it for flow models; replaces steps and schedule");
  visit("rho", &R::rho, "exponent of the schedules karras (default 7) and polyexponential (1)");
  visit("prediction", &R::prediction,
        "what the network predicts: epsilon, v_prediction, sample or flow_prediction");
  visit("eta", &R::eta,
        "0..1, share of fresh noise in the samplers that have it, see `sdrbee samplers`");
  visit("s_churn", &R::s_churn, "extra noise in each step of euler and heun (Karras et al. 2022)");
  visit("s_noise", &R::s_noise, "scale of the noise that a sampler adds");
  visit("strength", &R::strength, "0..1, how much of `image` is replaced");
  visit(
      "denoising_start", &R::denoising_start,
      "0..1, the part that another model has run already; takes `image` or `latents` as they are");
  visit("denoising_end", &R::denoising_end,
        "0..1, where to stop, for another model to go on (with output='latent')");
  visit("keep_unmasked", &R::keep_unmasked,
        "paste the source back where the mask is black, and blend it where the mask is grey");
  visit("inpaint_area", &R::inpaint_area,
        "'whole' repaints at the picture's size; 'masked' cuts out the masked part, repaints it at "
        "width x height, and puts it back");
  visit("mask_padding", &R::mask_padding,
        "pixels around the mask that are cut out with it when inpaint_area is 'masked'");
  visit("mask_blur", &R::mask_blur, "radius in pixels by which the mask's edges are softened");
  visit("outpaint", &R::outpaint,
        "pixels to add to `image` on the left, top, right and bottom, and to paint there");
  visit("hires_scale", &R::hires_scale,
        "above 1: make the picture at width x height first, then enlarge it by this and go over it "
        "again");
  visit("hires_steps", &R::hires_steps, "steps of the second pass; `steps` when not given");
  visit("hires_denoising_strength", &R::hires_denoising_strength,
        "0..1, how much the second pass may change");
  visit("hires_upscaler", &R::hires_upscaler,
        "what enlarges for the second pass: 'latent' (bilinear) or 'lanczos' (of the picture)");
  visit("hires_prompt", &R::hires_prompt, "`prompt` of the second pass, where it is another one");
  visit("hires_negative_prompt", &R::hires_negative_prompt,
        "`negative_prompt` of the second pass, where it is another one");
  visit("tiling", &R::tiling,
        "'x', 'y' or 'xy': a picture whose opposite edges fit together; 'none'");
  visit("loras", &R::loras,
        "LoRAs that act: (file or name in the model store, strength) each, or a dict of name or "
        "path, strength, blocks (a list as of A1111's lora-block-weight) and strict (False: keys "
        "that mean nothing in the model are a warning)");
  visit("output", &R::output, "'image' (8 bit), 'float' (0..1 before rounding) or 'latent'");
  visit("preview", &R::preview, "pictures on the way: 'none', 'fast' or 'full'");
  visit("exact", &R::exact, "run alone in every step, so that the picture repeats bit by bit");
}

/// The same for the values of a ControlRequest but its pictures.
template <typename Visitor>
void visit_control_fields(Visitor&& visit) {
  using C = ControlRequest;
  visit("model", &C::model, "a name in the model store, or a folder or file");
  visit("strength", &C::strength, "-10..10, scale of what it adds");
  visit("start", &C::start, "0..1, the part of the steps before it begins");
  visit("end", &C::end, "0..1, the part of the steps at which it ends");
  visit("guess_mode", &C::guess_mode,
        "acts on the prompt alone, not on the negative one, and less at higher resolutions");
  visit("type", &C::type,
        "what `image` shows, for a ControlNet of several types: 'canny', ...; 'inpaint' for one "
        "that repaints");
  visit(
      "mode", &C::mode,
      "'balanced'; 'prompt' lets the prompt win over details: each layer of the network has 0.825 "
      "of the strength of the next one; 'control' does the same on the prompt alone, not on the "
      "negative one");
  visit(
      "preprocessor", &C::preprocessor,
      "the name of what made `image` of another picture, for the record in the file: 'canny', ...");
  visit(
      "blocks", &C::blocks,
      "of an IP-Adapter: factors of `strength` by block, {'down': {'block_2': [0.0, 1.0]}, 'mid': "
      "0.5, 'up': 1.0}; 0 where a block has none");
}

/// The same for the pictures of a ControlRequest: `visit(std::string_view name, std::string_view
/// plural, std::vector<Image> ControlRequest::*member, std::string_view doc)`, with the name of one
/// alone and of a list.
template <typename Visitor>
void visit_control_pictures(Visitor&& visit) {
  using C = ControlRequest;
  visit("image", "images", &C::images,
        "what it follows; several, of an IP-Adapter alone, are one prompt together");
  visit("mask", "masks", &C::masks,
        "of an IP-Adapter: where it acts is white, one for each of `images`; everywhere without");
}

/// What users call picture `index` of such a list: "image", or "images[1]" where there are several.
inline std::string picture_name(std::string_view name, std::string_view plural, size_t count,
                                size_t index) {
  return count == 1 ? std::string(name) : message(plural, "[", index, "]");
}

/// The same for the pictures that a request may hold.
template <typename Visitor>
void visit_request_pictures(Visitor&& visit) {
  using R = GenerationRequest;
  visit("image", &R::image,
        "the picture to start from: path, bytes, PIL image, uint8 array [H, W, C] or sdrbee.Image");
  visit("mask", &R::mask,
        "where to repaint: white is repainted, black is kept; of the size of `image`");
  visit("control_image", &R::control_image,
        "flux-canny, flux-depth: the edges or depths that the picture follows");
}

}  // namespace sdrbee
