// The names of Z-Image's network in its original checkpoints.
#pragma once

#include <vector>

#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/z_image/transformer_config.h"

namespace sdrbee::z_image {

/// The configuration that tensors under their original names tell, as config.json has it.
/// Throws CheckpointError naming the file and the tensor when they are not a whole network.
io::Config read_transformer_config(const io::WeightSource& weights);

/// Rules from the original names to those of diffusers.
/// https://github.com/Tongyi-MAI/Z-Image/blob/main/src/zimage/transformer.py
std::vector<io::RenameRule> transformer_rules(const TransformerConfig& config);

}  // namespace sdrbee::z_image
