#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "io/gguf_bytes.h"
#include "mutations.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/gguf_header.h"
#include "support/golden.h"

namespace sdrbee::fuzz {
namespace {

/// Whatever is accepted lies inside the file and has as many bytes as its shape asks for.
void parse_header(std::span<const std::byte> bytes) {
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  try {
    const io::GgufHeader header = io::parse_gguf_header(file, "input");
    for (const auto& [name, entry] : header.tensors) {
      if (entry.begin < header.data_offset || entry.begin > entry.end || entry.end > bytes.size())
        throw std::logic_error("accepted a range outside of the file: " + name);
      const io::GgmlLayout& layout = io::ggml_layout(entry.type);
      const int64_t blocks = c10::multiply_integers(entry.shape) / layout.block_elements;
      if (static_cast<uint64_t>(blocks * layout.block_bytes) != entry.end - entry.begin)
        throw std::logic_error("accepted a wrong number of bytes: " + name);
    }
  } catch (const CheckpointError&) {
  }
}

Input bytes_of(const std::string& content) {
  const auto bytes = std::as_bytes(std::span(content));
  return {bytes.begin(), bytes.end()};
}

TEST(GgufFuzz, MutatedHeadersAreRefusedOrLieInsideTheFile) {
  using io::testing::GgufBytes;
  run_mutations({bytes_of(GgufBytes().counts(0, 0).content()),
                 bytes_of(GgufBytes().counts(1, 0).tensor("w", {32, 2}, 8, 0).data(68).content()),
                 bytes_of(GgufBytes()
                              .counts(1, 1)
                              .text("general.alignment")
                              .number(uint32_t{4})
                              .number(uint32_t{8})
                              .tensor("w", {3}, 1, 0)
                              .data(6, 8)
                              .content()),
                 bytes_of(io::read_file(test::golden_path("gguf_types.gguf"), 1 << 16))},
                20'000, parse_header);
}

}  // namespace
}  // namespace sdrbee::fuzz

#ifdef SDRBEE_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  sdrbee::fuzz::parse_header(std::as_bytes(std::span(bytes, count)));
  return 0;
}
#endif
