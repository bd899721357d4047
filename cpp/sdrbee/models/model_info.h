// What a model is and can do, as plain data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/core/size.h"
#include "sdrbee/sampling/scheduler_config.h"

namespace sdrbee {

/// The ways to start a generation.
enum class Mode { TextToImage, ImageToImage, Inpaint };

/// The name of a mode in Python and on the wire: "text_to_image", "image_to_image", "inpaint".
std::string_view mode_name(Mode mode);

/// The values that a request leaves open, for one mode of one model.
struct ModeDefaults {
  int64_t steps = 50;
  double guidance_scale = 7.5;
  double strength = 1.0;  // 0..1, the part of the schedule that is run; 1 in text-to-image
  bool operator==(const ModeDefaults&) const = default;
};

/// What a model accepts.
struct Capabilities {
  bool text_to_image = true;
  bool image_to_image = true;
  bool inpaint = true;
  bool native_inpaint = false;      // the network itself is given mask and masked picture
  bool guidance = true;             // classifier-free guidance has an effect
  bool distilled_guidance = false;  // guidance_scale is an input of the network
  bool true_guidance = false;       // true_guidance_scale guides against a negative prompt
  bool negative_prompt = true;      // used while guidance is active
  bool prompt_2 = false;            // a second text encoder may be given a text of its own
  bool prompt_3 = false;            // so may a third
  bool framing = false;             // original_size, target_size and crop have an effect
  bool control_image = false;       // the network is given a control image, which it needs
  bool reference_image = false;     // `image` is shown to the network; a start from it needs a mask
  bool tiling = false;              // pictures whose opposite edges fit together
  bool embedding = false;           // learned words may stand in prompts
  bool lora = false;
  bool controlnet = false;
  bool operator==(const Capabilities&) const = default;
};

/// Limits of the picture's size: each side is a multiple of `multiple` within min..max pixels.
struct SizeLimits {
  int64_t multiple = 8;
  int64_t minimum = 8;
  int64_t maximum = 8192;
  bool operator==(const SizeLimits&) const = default;
};

/// What is done to a reference image: it is scaled, then cut around its middle.
struct ReferenceFit {
  PixelSize scaled;
  PixelSize cut;
};

/// Architecture, variant, capabilities, limits and defaults of a loaded model.
struct ModelInfo {
  std::string family;                             // row of the registry, e.g. "stable_diffusion"
  std::string variant;                            // row of the family, e.g. "v1-5"
  std::string source;                             // the path it was loaded from
  std::map<std::string, std::string> components;  // those from other places: their paths
  Capabilities capabilities;
  SizeLimits sizes;
  PixelSize default_size{512, 512};
  ModeDefaults text_to_image;
  ModeDefaults image_to_image;
  ModeDefaults inpaint;
  /// Image-to-image with the samplers lcm and tcd takes all its steps within the part of the
  /// distilled timesteps that strength leaves, instead of leaving steps out.
  bool strength_over_distilled_steps = false;
  /// Native inpainting encodes the source also where strength 1 leaves nothing of it, which moves
  /// the noise generator.
  bool always_encodes_source = false;
  /// Sizes that a reference image is brought to, the one of the nearest aspect; and the picture's
  /// size where the request has none. Empty: references keep their size, see `reference_area`.
  std::vector<PixelSize> reference_sizes;
  int64_t reference_area = 0;  // pixels of larger references are reduced to so many
  /// The guidance_scale that has no effect: 1 as published (see GuidedConditions), 0 in models that
  /// add the contrast to the prediction for the prompt.
  double neutral_guidance_scale = 1.0;
  int64_t max_sequence_length = 0;   // default tokens of the T5 or Qwen3 encoder; 0: it has none
  int64_t sequence_limit = 512;      // tokens of it at most: as in diffusers' pipelines
  int64_t max_clip_skip = 0;         // layers that may be left out at the end of the text encoders
  int64_t skippable_layers = 0;      // blocks that skip-layer guidance may leave out; 0: it can't
  bool align_your_steps_xl = false;  // the schedule of this name has a table of its own for XL
  sampling::SchedulerConfig scheduler;  // that the checkpoint asks for
  /// In place of SchedulerConfig::dynamic_shift, which counts the tokens alone; null: that one.
  double (*fitted_shift)(int64_t tokens, int64_t steps) = nullptr;
  int64_t latent_channels = 4;
  int64_t latent_downscale = 8;  // pixels per latent cell and side
  std::string device;
  std::string dtype;
  std::vector<std::string> warnings;  // what the files could not tell, and the option that does

  /// The mu of `scheduler.use_dynamic_shifting` for a picture of this size in `steps` steps.
  double dynamic_shift(PixelSize size, int64_t steps) const;

  /// How a reference image of this size is fitted.
  ReferenceFit reference_fit(PixelSize size) const;

  /// The defaults of one mode.
  const ModeDefaults& defaults(Mode mode) const;
};

}  // namespace sdrbee
