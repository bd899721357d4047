// ControlNets of a generation: their networks, their pictures, and when they act.
#pragma once

#include <span>
#include <vector>

#include "sdrbee/generation/generation.h"

namespace sdrbee {

/// Opens the networks of `request.controls` and prepares their pictures for the pass of the
/// generation, as diffusers does: resized to the picture's size (Lanczos), 0..1, and encoded where
/// the network sees latents. A picture of other proportions is told in the warnings. Returns the
/// noise of the seed behind what was drawn for them, which comes before all else. Throws as
/// ImageModel::control does.
NoiseSource open_controls(ImageModel& model, Generation& generation);

/// The rows that a generation has in a batch.
struct GenerationRows {
  const Generation* generation;
  size_t count;     // rows
  bool base_first;  // whether the first one is the negative prompt
};

/// What the control networks are given for a batch of generations with equal networks.
std::vector<ControlInput> control_inputs(std::span<const GenerationRows> batch);

/// What must agree of controls for two generations to share network calls.
void add_controls_to_key(const Generation& generation, std::vector<int64_t>& key);

}  // namespace sdrbee
