// Where a layer keeps its weight.
#pragma once

#include <memory>
#include <optional>

#include "sdrbee/core/tensor.h"
#include "sdrbee/io/load_queue.h"
#include "sdrbee/nn/quantised_weight.h"

namespace sdrbee::nn {

/// A weight as the layer's kernel wants it.
struct LayerWeight {
  Tensor values;
  bool packed = false;  ///< in oneDNN's order (nn/cpu/packed_weights.h), else in ATen's
  /// The weight in blocks, which are expanded at every use; `values` is then undefined.
  std::optional<QuantisedWeight> quantised = std::nullopt;
};

/// Copies of a layer share their weight: a task that was put off while loading fills the layer that
/// has since moved into its network.
using SharedWeight = std::shared_ptr<LayerWeight>;

inline SharedWeight make_shared_weight() { return std::make_shared<LayerWeight>(); }

/// Remembers the weight, see io::LoadQueue. What is remembered shares its memory.
inline io::LoadQueue::Remember remembering(const SharedWeight& weight) {
  return [weight] { return [weight, kept = *weight] { *weight = kept; }; };
}

}  // namespace sdrbee::nn
