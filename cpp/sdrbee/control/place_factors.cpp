#include "sdrbee/control/place_factors.h"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>
#include <string>

#include "sdrbee/core/error.h"

namespace sdrbee::control {
namespace {

/// "down" of "down.block_1".
std::string side_of(const std::string& block) { return block.substr(0, block.find('.')); }

/// How many attentions each block has, by its name.
std::map<std::string, size_t> count_attentions(const std::vector<CrossAttentionPlace>& places) {
  std::map<std::string, size_t> counts;
  for (const CrossAttentionPlace& place : places)
    counts[place.block] = std::max(counts[place.block], static_cast<size_t>(place.attention) + 1);
  return counts;
}

void check_known(const std::string& name, const std::map<std::string, size_t>& counts) {
  std::string known;
  for (const auto& [block, count] : counts) {
    if (name == block || name == side_of(block)) return;
    known += (known.empty() ? "" : ", ") + block;
  }
  throw InvalidRequest(message("[controls] expected `blocks` of those of this model that have ",
                               "attentions, ", known, ", but got '", name, "'"));
}

/// The factor at a place out of those that a name stands for.
double factor_at(const CrossAttentionPlace& place, const std::string& name,
                 const std::vector<double>& factors, size_t attentions) {
  if (factors.size() == 1) return factors.front();
  if (factors.size() == attentions) return factors[static_cast<size_t>(place.attention)];
  throw InvalidRequest(message("[controls] expected 1 or ", attentions,
                               " factors in `blocks` for '", place.block, "' but '", name, "' has ",
                               factors.size()));
}

}  // namespace

Tensor place_factors(const BlockFactors& blocks, const std::vector<CrossAttentionPlace>& places) {
  const std::map<std::string, size_t> counts = count_attentions(places);
  for (const auto& [name, factors] : blocks) check_known(name, counts);
  std::vector<float> all;
  for (const CrossAttentionPlace& place : places) {
    auto found = blocks.find(place.block);
    if (found == blocks.end()) found = blocks.find(side_of(place.block));
    double factor = 0.0;
    if (found != blocks.end())
      factor = factor_at(place, found->first, found->second, counts.at(place.block));
    all.push_back(static_cast<float>(factor));
  }
  return at::tensor(all).unsqueeze(0);
}

}  // namespace sdrbee::control
