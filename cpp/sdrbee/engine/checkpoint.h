// What is kept of a job that runs, so that another process of the same build goes on with it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "sdrbee/generation/request.h"

namespace sdrbee::engine {

/// The progress of each picture of a job: what save_progress() gave, null before its beginning. A
/// finished picture is kept as it was before it was decoded.
using Progress = std::vector<nlohmann::json>;

/// What a checkpoint belongs to: the request with the hashes of its pictures, and this build. It
/// stays the same while the job runs.
nlohmann::json checkpoint_origin(const GenerationRequest& resolved);

/// Origin and progress as bytes. They hold no weights, and no pictures of the request.
std::vector<uint8_t> write_checkpoint(const nlohmann::json& origin, const Progress& progress);

/// The progress that write_checkpoint() was given. Throws CheckpointError when the bytes were cut
/// or changed, or belong to another request or build.
Progress read_checkpoint(std::span<const uint8_t> bytes, const GenerationRequest& resolved);

/// The seed of the job that the checkpoint is of: requests without one had it chosen at random.
/// Throws CheckpointError when the bytes were cut or changed.
uint64_t checkpoint_seed(std::span<const uint8_t> bytes);

}  // namespace sdrbee::engine
