#include "sdrbee/io/pickle_refusal.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>

#include "sdrbee/core/error.h"

namespace sdrbee::io {
namespace {

constexpr std::array<std::string_view, 5> kPickleExtensions = {".ckpt", ".pt", ".pth", ".bin",
                                                               ".pkl"};

bool is_pickle(std::span<const std::byte> bytes) {
  const auto at = [&](size_t i) { return std::to_integer<int>(bytes[i]); };
  if (bytes.size() >= 4 && at(0) == 'P' && at(1) == 'K' && at(2) == 3 && at(3) == 4) return true;
  // Opcode PROTO and a protocol number. As the low bytes of a safetensors header length the same
  // two bytes are possible, but then the header's brace follows the length.
  const bool proto = bytes.size() >= 2 && at(0) == 0x80 && at(1) >= 2 && at(1) <= 5;
  return proto && !(bytes.size() > 8 && at(8) == '{');
}

}  // namespace

bool has_pickle_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kPickleExtensions.begin(), kPickleExtensions.end(), extension) !=
         kPickleExtensions.end();
}

void refuse_pickle(const std::filesystem::path& path, std::span<const std::byte> first_bytes) {
  if (!has_pickle_extension(path) && !is_pickle(first_bytes)) return;
  std::filesystem::path target = path;
  target.replace_extension(".safetensors");
  throw UnsupportedModel(message(
      "[", path.string(), "] expected a safetensors file but got a pickle, which can run code when",
      " it is loaded. Convert it once, in Python with torch and safetensors:\n",
      "  import torch, safetensors.torch\n", "  weights = torch.load(r\"", path.string(),
      "\", map_location=\"cpu\", weights_only=True)\n",
      "  weights = weights.get(\"state_dict\", weights)\n",
      "  tensors = {k: v.contiguous().clone() for k, v in weights.items() if hasattr(v, "
      "\"shape\")}",
      "\n  safetensors.torch.save_file(tensors, r\"", target.string(), "\")"));
}

}  // namespace sdrbee::io
