// The names that Black Forest Labs' code gives to the weights of FLUX's network, as rules that turn
// them into those of diffusers. https://github.com/black-forest-labs/flux
#pragma once

#include <vector>

#include "sdrbee/io/json.h"
#include "sdrbee/io/renamed_weights.h"

namespace sdrbee::flux {

/// Rules for as many blocks as the network under its original names has, without the
/// "model.diffusion_model." prefix.
std::vector<io::RenameRule> transformer_rules(const io::WeightSource& original);

/// Rules for so many blocks.
std::vector<io::RenameRule> transformer_rules(int64_t layers, int64_t single_layers);

/// FluxTransformer2DModel's config.json, read off tensors under diffusers' names. Throws
/// CheckpointError naming the file and the tensor when they are not a whole network.
io::Config read_transformer_config(const io::WeightSource& weights);

}  // namespace sdrbee::flux
