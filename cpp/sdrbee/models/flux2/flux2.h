// FLUX.2 klein: a transformer over the tokens of text and pictures, Qwen3 as text encoder.
#pragma once

#include <memory>

#include "sdrbee/models/flux2/config.h"

namespace sdrbee::flux2 {

/// Whether the checkpoint is a FLUX.2 klein of a folder or a file.
bool recognises(const io::Checkpoint& checkpoint);

/// What the checkpoint is and can do, from configurations and headers alone.
/// Throws CheckpointError when its components do not belong together.
ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// Throws CheckpointError when a component is missing, damaged or of another model, and
/// UnsupportedModel for a network that nothing here computes.
std::unique_ptr<ImageModel> load(Sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options);

/// The mu of the dynamic shift as its publisher fitted it: linear in the tokens for 10 steps and
/// for 200, between and beyond them linear in the steps; large pictures take that of 200.
/// https://github.com/black-forest-labs/flux2/blob/main/src/flux2/sampling.py, compute_empirical_mu
double fitted_shift(int64_t tokens, int64_t steps);

}  // namespace sdrbee::flux2
