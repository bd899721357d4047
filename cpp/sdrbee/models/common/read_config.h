// Configurations of networks, read off their tensors' names and shapes.
#pragma once

#include <string>
#include <vector>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee {

/// A config.json in two parts: another source of the same fields knows better than `untold`.
struct ReadConfig {
  io::Config told;
  /// What no tensor tells, as the published models have it.
  io::Json untold;
};

/// UNet2DConditionModel, or the first half of one in a ControlNet: depths, widths and kinds of
/// blocks come from the tensors. The number of heads is not in them: 8 where projections are
/// convolutions (Stable Diffusion 1), else 64 channels a head (2.x and XL). Names are those of
/// diffusers. Throws CheckpointError naming the file and the tensor when they are not a whole UNet.
ReadConfig read_unet_config(const io::WeightSource& weights);

/// AutoencoderKL; names are those of diffusers. Throws CheckpointError as above.
ReadConfig read_autoencoder_config(const io::WeightSource& weights);

/// CLIPTextModel; names are those of transformers, without "text_model.". The activation is
/// quick_gelu up to 768 channels (OpenAI's CLIP), gelu above (OpenCLIP).
/// Throws CheckpointError as above.
ReadConfig read_clip_text_config(const io::WeightSource& weights);

/// T5EncoderModel; names are those of transformers. Throws CheckpointError as above.
ReadConfig read_t5_config(const io::WeightSource& weights);

/// Qwen3Model; names are those of transformers, without "model.". Throws CheckpointError as above.
ReadConfig read_qwen3_config(const io::WeightSource& weights);

/// Extent `dimension` of a tensor. Throws CheckpointError when there is none.
int64_t extent(const io::WeightSource& weights, const std::string& name, size_t dimension);

/// The shape of a tensor. Throws CheckpointError when there is none of so many dimensions.
std::vector<int64_t> shape_of(const io::WeightSource& weights, const std::string& name,
                              size_t dimensions);

/// How many of `before0after`, `before1after`, ... are there without a gap.
int64_t count_numbered(const io::WeightSource& weights, const std::string& before,
                       const std::string& after);

}  // namespace sdrbee
