#include "sdrbee/io/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "sdrbee/core/error.h"

namespace sdrbee::io {
namespace {

/// Decompresses piece by piece and hands every block of output to `take`, which returns whether to
/// go on. Returns zlib's last status.
template <typename Take>
int inflate_pieces(std::span<const std::span<const std::byte>> pieces, Take take) {
  z_stream stream = {};
  if (::inflateInit(&stream) != Z_OK) throw OutOfMemory("[inflate] zlib has no memory");
  std::array<Bytef, 65536> block;
  int status = Z_OK;
  bool wanted = true;
  for (const auto& piece : pieces) {
    // Pieces are chunks of files below 2 GB, so that zlib's 32-bit counters hold them.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
    stream.avail_in = static_cast<uInt>(piece.size());
    do {
      stream.next_out = block.data();
      stream.avail_out = static_cast<uInt>(block.size());
      status = ::inflate(&stream, Z_NO_FLUSH);
      wanted = take(std::span<const Bytef>(block.data(), block.size() - stream.avail_out));
    } while (wanted && status == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0));
    if (!wanted || (status != Z_OK && status != Z_BUF_ERROR)) break;
  }
  ::inflateEnd(&stream);
  return status;
}

}  // namespace

std::string inflate(std::span<const std::byte> compressed, size_t max_bytes,
                    const std::string& origin) {
  std::string content;
  bool too_long = false;
  const std::array<std::span<const std::byte>, 1> pieces = {compressed};
  const int status = inflate_pieces(pieces, [&](std::span<const Bytef> block) {
    too_long = block.size() > max_bytes - content.size();
    if (!too_long) content.append(reinterpret_cast<const char*>(block.data()), block.size());
    return !too_long;
  });
  if (too_long)
    throw InvalidRequest(
        message("[", origin, "] compressed text of more than ", max_bytes, " bytes"));
  if (status != Z_STREAM_END)
    throw InvalidRequest(message("[", origin, "] compressed text is damaged"));
  return content;
}

uint64_t count_inflated(std::span<const std::span<const std::byte>> pieces, uint64_t max_bytes,
                        const std::string& origin) {
  uint64_t total = 0;
  const int status = inflate_pieces(pieces, [&](std::span<const Bytef> block) {
    total += block.size();
    return total <= max_bytes;
  });
  if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
    throw InvalidRequest(message("[", origin, "] the compressed pixels are damaged"));
  return total;
}

}  // namespace sdrbee::io
