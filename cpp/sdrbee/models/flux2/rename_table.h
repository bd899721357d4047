// The names of FLUX.2's network in its original checkpoints.
#pragma once

#include <vector>

#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/flux2/transformer_config.h"

namespace sdrbee::flux2 {

/// The configuration that tensors under their original names tell, as config.json has it.
/// Throws CheckpointError naming the file and the tensor when they are not a whole network.
io::Config read_transformer_config(const io::WeightSource& weights);

/// Rules from the original names to those of diffusers.
/// https://github.com/black-forest-labs/flux2/blob/main/src/flux2/model.py
std::vector<io::RenameRule> transformer_rules(const TransformerConfig& config);

}  // namespace sdrbee::flux2
