#include "sdrbee/io/stb.h"

#include <memory>

#include "sdrbee/core/error.h"

#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

namespace sdrbee::io {
namespace {

const stbi_uc* data_of(std::span<const std::byte> file) {
  return reinterpret_cast<const stbi_uc*>(file.data());
}

void append_bytes(void* target, void* bytes, int count) {
  const auto* first = static_cast<const std::byte*>(bytes);
  auto& file = *static_cast<std::vector<std::byte>*>(target);
  file.insert(file.end(), first, first + count);
}

}  // namespace

std::optional<PixelSize> read_stb_size(std::span<const std::byte> file) {
  int width = 0;
  int height = 0;
  int channels = 0;
  if (stbi_info_from_memory(data_of(file), static_cast<int>(file.size()), &width, &height,
                            &channels) == 0)
    return std::nullopt;
  return PixelSize{width, height};
}

Image decode_with_stb(std::span<const std::byte> file, const std::string& origin) {
  int width = 0;
  int height = 0;
  int channels = 0;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(data_of(file), static_cast<int>(file.size()), &width, &height,
                            &channels, 0),
      stbi_image_free);
  if (pixels == nullptr) {
    const std::string reason = stbi_failure_reason();
    if (reason == "outofmem") throw OutOfMemory(message("[", origin, "] no memory to decode it"));
    throw InvalidRequest(message("[", origin, "] cannot decode the picture: ", reason));
  }
  const size_t count =
      static_cast<size_t>(width) * static_cast<size_t>(height) * static_cast<size_t>(channels);
  return {{width, height}, channels, {pixels.get(), pixels.get() + count}};
}

std::vector<std::byte> encode_jpeg_with_stb(const Image& image, int quality) {
  std::vector<std::byte> file;
  const int written = stbi_write_jpg_to_func(
      append_bytes, &file, static_cast<int>(image.size.width), static_cast<int>(image.size.height),
      static_cast<int>(image.channels), image.pixels.data(), quality);
  if (written == 0) throw InternalError("[encode_jpeg] stb_image_write refused the picture");
  return file;
}

}  // namespace sdrbee::io
