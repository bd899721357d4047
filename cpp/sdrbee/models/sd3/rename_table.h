// The names that Stability AI's code gives to the weights of Stable Diffusion 3's network, as rules
// that turn them into those of diffusers. https://github.com/Stability-AI/sd3.5
#pragma once

#include <vector>

#include "sdrbee/io/renamed_weights.h"

namespace sdrbee::sd3 {

/// Rules for as many blocks as the network under its original names has, without the
/// "model.diffusion_model." prefix.
std::vector<io::RenameRule> transformer_rules(const io::WeightSource& original);

/// Rules for so many blocks.
std::vector<io::RenameRule> transformer_rules(int64_t layers);

}  // namespace sdrbee::sd3
