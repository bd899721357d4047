#include <gtest/gtest.h>

#include <string>

#include "mutations.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/json.h"

namespace sdrbee::fuzz {
namespace {

void parse_config(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  try {
    const io::Config config(io::parse_json(text, "input"), "input");
    config.int64s_or("block_out_channels", {});
    config.strings_or("down_block_types", {});
    config.double_or("beta_start", 0);
  } catch (const CheckpointError&) {
  }
}

Input bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

TEST(JsonFuzz, MutatedConfigurationsAreRefusedOrRead) {
  run_mutations(
      {bytes_of(R"({"block_out_channels": [320, 640], "down_block_types": ["a", "b"],
                              "beta_start": 0.00085, "nested": {"deep": [[[{"x": null}]]]}})"),
       bytes_of(R"({"text": "\u00e9\ud83d\ude00\n", "n": -1e308, "big": 99999999999999})")},
      20'000, parse_config);
}

}  // namespace
}  // namespace sdrbee::fuzz

#ifdef SDRBEE_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  sdrbee::fuzz::parse_config(std::as_bytes(std::span(bytes, count)));
  return 0;
}
#endif
