// Strengths by block of the network, as A1111's extension lora-block-weight counts them.
// https://github.com/hako-mikan/sd-webui-lora-block-weight
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/io/weight_source.h"

namespace sdrbee::lora {

/// Throws InvalidRequest unless the list has the length of one that is known (12, 17, 20, 26 or 61)
/// and its numbers are finite.
void check_block_strengths(const std::string& name, const std::vector<double>& strengths);

/// The entry of the list for a layer. The lists begin with BASE (all text encoders), then the
/// blocks of the UNet from its input to its output: of Stable Diffusion with 26, or 17 (those with
/// attention), of XL with 20, or 12. Blocks that a short list leaves out get 0, layers that are in
/// no block 1, as does every layer with an empty list. A list of 61 is FLUX.1's: CLIP, T5, what the
/// input goes through, the double blocks, the single ones, the output. Throws InvalidRequest for a
/// list of another model.
double block_strength(const std::vector<double>& strengths, std::string_view component,
                      const std::string& layer, const io::WeightSource& weights);

}  // namespace sdrbee::lora
