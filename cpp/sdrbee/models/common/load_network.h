// Building a network from a component of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/io/load_queue.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/models/registry.h"

namespace sdrbee {

/// `build(scope)` at the root of the component's weights, with all weights read and packed. Throws
/// CheckpointError when the weights don't fit the network or hold tensors that it has no place for,
/// other than names that contain one of `ignorable`.
template <typename Build>
auto load_network(const io::Component& component, const LoadOptions& options, const Build& build,
                  const std::vector<std::string>& ignorable = {}) {
  io::WeightLedger ledger;
  io::LoadQueue queue;
  auto network =
      build(io::WeightScope(*component.weights, ledger, options.dtype, options.device, &queue));
  ledger.check_all_taken(*component.weights, "", ignorable);
  queue.run();
  return network;
}

}  // namespace sdrbee
