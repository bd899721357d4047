// The names that Black Forest Labs' code gives to the weights of FLUX's network, as rules that turn
// them into those of diffusers. https://github.com/black-forest-labs/flux
#pragma once

#include <vector>

#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {

/// Rules for names without the "model.diffusion_model." prefix.
std::vector<io::RenameRule> transformer_rules(const TransformerConfig& config);

/// FluxTransformer2DModel's config.json for original names without their prefix, read off the
/// tensors. Throws CheckpointError naming the file and the tensor when they are not a whole
/// network.
io::Config read_transformer_config(const io::WeightSource& weights);

}  // namespace sdrbee::flux
