// JSON with binary values as bytes that tell when they were changed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace sdrbee {

/// CBOR (RFC 8949) behind its SHA-256.
std::vector<uint8_t> seal(const nlohmann::json& json);

/// What seal() was given. Throws CheckpointError, which calls it `what`, when the bytes were cut,
/// changed, or never came from seal().
nlohmann::json unseal(std::span<const uint8_t> bytes, std::string_view what);

}  // namespace sdrbee
