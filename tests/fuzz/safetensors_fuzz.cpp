#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "mutations.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/safetensors_header.h"

namespace sdrbee::fuzz {
namespace {

/// Whatever is accepted lies inside the file.
void parse_header(std::span<const std::byte> bytes) {
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  try {
    const io::SafetensorsHeader header = io::parse_safetensors_header(file, "input");
    for (const auto& [name, entry] : header.tensors)
      if (entry.begin > entry.end || header.data_offset + entry.end > bytes.size())
        throw std::logic_error("accepted a range outside of the file: " + name);
  } catch (const CheckpointError&) {
  }
}

Input file_of(const std::string& header, size_t data_bytes) {
  Input file;
  for (size_t i = 0; i < 8; ++i) file.push_back(std::byte(header.size() >> 8 * i & 255));
  for (const char character : header) file.push_back(std::byte(character));
  file.resize(file.size() + data_bytes);
  return file;
}

TEST(SafetensorsFuzz, MutatedHeadersAreRefusedOrLieInsideTheFile) {
  run_mutations(
      {file_of("{}", 0),
       file_of(R"({"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]}})", 12),
       file_of(R"({"__metadata__":{"k":"v"},"a":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]},)"
               R"("b":{"shape":[4,0],"data_offsets":[1,1],"dtype":"I64"},)"
               R"("c":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
               9)},
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
