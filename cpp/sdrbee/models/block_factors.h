// Strengths by block of a UNet.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace sdrbee {

/// Factors of a control's strength where it acts in a UNet, as the dicts of diffusers'
/// set_ip_adapter_scale have them (InstantStyle, Wang et al. 2024, arXiv:2404.02733): of "mid", of
/// a side ("down", "up"), or of one block of it ("down.block_2"), which goes before its side. One
/// number is for all attentions of the block, several are for each of them. What has no name here
/// gets 0; without any names it is 1 everywhere.
using BlockFactors = std::map<std::string, std::vector<double>>;

}  // namespace sdrbee
