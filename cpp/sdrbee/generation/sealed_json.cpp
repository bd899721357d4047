#include "sdrbee/generation/sealed_json.h"

#include <algorithm>

#include "sdrbee/core/error.h"
#include "sdrbee/core/sha256.h"

namespace sdrbee {
namespace {

constexpr size_t kDigits = 64;  // of a SHA-256 as text

}  // namespace

std::vector<uint8_t> seal(const nlohmann::json& json) {
  std::vector<uint8_t> bytes(kDigits);
  nlohmann::json::to_cbor(json, bytes);
  std::ranges::copy(sha256(std::as_bytes(std::span(bytes).subspan(kDigits))), bytes.begin());
  return bytes;
}

nlohmann::json unseal(std::span<const uint8_t> bytes, std::string_view what) {
  if (bytes.size() < kDigits ||
      !std::ranges::equal(sha256(std::as_bytes(bytes.subspan(kDigits))), bytes.first(kDigits)))
    throw CheckpointError(message("[", what, "] damaged bytes: their SHA-256 is another one"));
  const auto contents = bytes.subspan(kDigits);
  try {
    return nlohmann::json::from_cbor(contents.begin(), contents.end());
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(message("[", what, "] damaged bytes: ", error.what()));
  }
}

}  // namespace sdrbee
