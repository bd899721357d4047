// Factors by block of a UNet, as those of its cross-attentions.
#pragma once

#include <vector>

#include "sdrbee/control/ip_adapter.h"
#include "sdrbee/models/block_factors.h"

namespace sdrbee::control {

/// The factor of each place, [1, places] fp32, as diffusers' set_ip_adapter_scale spreads them.
/// Throws InvalidRequest for a block that has no attentions or does not exist, naming those that
/// are there, and for a number of factors that is not that of its attentions.
Tensor place_factors(const BlockFactors& blocks, const std::vector<CrossAttentionPlace>& places);

}  // namespace sdrbee::control
