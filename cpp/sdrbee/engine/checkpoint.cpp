#include "sdrbee/engine/checkpoint.h"

#include "sdrbee/core/error.h"
#include "sdrbee/generation/recipe.h"
#include "sdrbee/generation/sealed_json.h"

namespace sdrbee::engine {
namespace {

using Json = nlohmann::json;

Json open(std::span<const uint8_t> bytes) {
  Json opened = unseal(bytes, "checkpoint");
  if (!opened.is_object() || !opened.value("origin", Json()).is_object() ||
      !opened.value("progress", Json()).is_array())
    throw CheckpointError("[checkpoint] expected what a job kept but got other bytes");
  return opened;
}

}  // namespace

Json checkpoint_origin(const GenerationRequest& resolved) {
  return {{"environment", build_environment()},
          {"request", request_to_json(resolved)},
          {"inputs", input_hashes(resolved)}};
}

std::vector<uint8_t> write_checkpoint(const Json& origin, const Progress& progress) {
  return seal({{"origin", origin}, {"progress", progress}});
}

Progress read_checkpoint(std::span<const uint8_t> bytes, const GenerationRequest& resolved) {
  Json opened = open(bytes);
  const Json origin = checkpoint_origin(resolved);
  for (const auto& [part, now] : origin.items())
    if (const Json then = opened["origin"].value(part, Json()); then != now)
      throw CheckpointError(message("[checkpoint] expected the ", part, " ", now.dump(),
                                    " but got ", then.dump(), "; begin the job anew"));
  auto progress = opened["progress"].get<Progress>();
  if (std::ssize(progress) != resolved.count)
    throw CheckpointError(
        message("[checkpoint] expected ", resolved.count, " pictures but got ", progress.size()));
  return progress;
}

uint64_t checkpoint_seed(std::span<const uint8_t> bytes) {
  const Json request = open(bytes)["origin"].value("request", Json::object());
  const Json seed = request.is_object() ? request.value("seed", Json()) : Json();
  if (!seed.is_number_unsigned()) throw CheckpointError("[checkpoint] its request has no seed");
  return seed.get<uint64_t>();
}

}  // namespace sdrbee::engine
