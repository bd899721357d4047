// What a caller may ask for: one request type for all modes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/core/image.h"
#include "sdrbee/lora/lora_use.h"
#include "sdrbee/models/block_factors.h"
#include "sdrbee/models/model_info.h"
#include "sdrbee/text/textual_inversion.h"

namespace sdrbee {

/// A ControlNet or adapter, the picture that it follows, and how closely.
struct ControlRequest {
  std::string model;              // its folder or file
  std::vector<Image> images;      // what it follows: edges, depths, a pose
  std::vector<Image> masks;       // of an IP-Adapter: where each of `images` acts, white
  double strength = 1.0;          // scale of what it adds
  double start = 0.0;             // 0..1, the part of the steps before it begins
  double end = 1.0;               // 0..1, the part of the steps at which it ends
  bool guess_mode = false;        // acts on the prompt alone, and less at higher resolutions
  std::string type;               // what `image` shows, for networks that follow several types
  std::string mode = "balanced";  // or "prompt", "control": see softens() and spares_base()
  std::string preprocessor;       // what made `image` of another picture; for the record alone
  BlockFactors blocks;            // of an IP-Adapter: factors of `strength`

  /// Whether it gives way at higher resolutions as A1111's extension has it, see soften().
  bool softens() const { return mode != "balanced"; }
  /// Whether it leaves the negative prompt alone.
  bool spares_base() const { return guess_mode || mode == "control"; }
  bool operator==(const ControlRequest&) const = default;
};

/// How many controls a request may have.
inline constexpr size_t kMaxControls = 8;

/// How many pictures a control may have, and as many masks.
inline constexpr size_t kMaxControlPictures = 16;

/// A request for one or several pictures. An empty optional means the default of that model and
/// mode. The mode follows from `image`, `latents`,
/// `mask` and `outpaint`. docs of each field: request_fields.h.
struct GenerationRequest {
  std::string prompt;
  std::optional<std::string> prompt_2;
  std::optional<std::string> prompt_3;
  std::optional<std::string> negative_prompt;
  std::optional<std::string> negative_prompt_2;
  std::optional<std::string> negative_prompt_3;
  std::string prompt_syntax = "plain";
  std::string long_prompt = "chunk";
  std::vector<text::EmbeddingUse> embeddings;
  std::optional<std::string> embeddings_dir;
  std::optional<int64_t> max_sequence_length;
  int64_t clip_skip = 0;
  std::optional<int64_t> width;
  std::optional<int64_t> height;
  std::vector<int64_t> original_size;
  std::vector<int64_t> target_size;
  std::vector<int64_t> crop;
  int64_t count = 1;
  std::optional<uint64_t> seed;
  std::optional<int64_t> steps;
  std::optional<double> guidance_scale;
  std::optional<double> true_guidance_scale;
  double guidance_rescale = 0.0;
  double guidance_start = 0.0;
  double guidance_end = 1.0;
  std::vector<int64_t> skip_guidance_layers;
  double skip_layer_guidance_scale = 2.8;
  double skip_layer_guidance_start = 0.01;
  double skip_layer_guidance_stop = 0.2;
  std::optional<std::string> sampler;
  std::optional<std::string> schedule;
  std::optional<std::string> spacing;
  std::vector<double> sigmas;
  std::optional<double> rho;
  std::optional<std::string> prediction;
  std::optional<double> eta;
  double s_churn = 0.0;
  double s_noise = 1.0;
  std::optional<double> strength;
  std::optional<double> denoising_start;
  std::optional<double> denoising_end;
  bool keep_unmasked = true;
  std::string inpaint_area = "whole";
  int64_t mask_padding = 32;
  double mask_blur = 0.0;
  std::vector<int64_t> outpaint;
  std::optional<double> hires_scale;
  std::optional<int64_t> hires_steps;
  double hires_denoising_strength = 0.7;
  std::string hires_upscaler = "latent";
  std::optional<std::string> hires_prompt;
  std::optional<std::string> hires_negative_prompt;
  std::string tiling = "none";
  std::vector<lora::LoraUse> loras;
  std::string output = "image";
  std::string preview = "none";
  bool exact = false;
  std::optional<Image> image;
  std::optional<Image> mask;
  std::optional<Image> control_image;
  std::optional<LatentImage> latents;
  std::vector<ControlRequest> controls;

  Mode mode() const;
  /// The picture's size; of resolved requests only.
  PixelSize size() const { return {width.value(), height.value()}; }
  bool operator==(const GenerationRequest&) const = default;
};

/// Checks a request against a model and fills in every default, so that the result repeats the
/// picture wherever it is run: only `seed` is chosen at random when it is empty.
/// Throws InvalidRequest that names the field, the value, and what would be right.
GenerationRequest resolve(GenerationRequest request, const ModelInfo& info);

/// One request a picture: picture i of `request.count` has seed + i.
std::vector<GenerationRequest> split_count(const GenerationRequest& resolved);

}  // namespace sdrbee
