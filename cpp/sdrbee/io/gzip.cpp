#include "sdrbee/io/gzip.h"

#include <zlib.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"

namespace sdrbee::io {
namespace {

constexpr int kGzipOnly = 16;  // added to the window bits: expect a gzip header and check its CRC

// Owns zlib's state.
class Inflater {
 public:
  explicit Inflater(std::string& packed) {
    stream_.next_in = reinterpret_cast<Bytef*>(packed.data());
    stream_.avail_in = static_cast<uInt>(packed.size());
    if (inflateInit2(&stream_, MAX_WBITS + kGzipOnly) != Z_OK)
      throw OutOfMemory("[gzip] zlib could not allocate its state");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Appends the next piece; the return value is zlib's.
  int next(std::string& unpacked) {
    char buffer[1 << 16];
    stream_.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_.avail_out = sizeof buffer;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    unpacked.append(buffer, sizeof buffer - stream_.avail_out);
    return status;
  }

 private:
  z_stream stream_{};
};

}  // namespace

std::string read_gzip(const std::filesystem::path& path, uint64_t max_bytes) {
  std::string packed = read_file(path, max_bytes);
  Inflater inflater(packed);
  std::string unpacked;
  int status = Z_OK;
  while (status == Z_OK) {
    status = inflater.next(unpacked);
    if (unpacked.size() > max_bytes)
      throw CheckpointError(message("[gzip] ", path.string(), " unpacks to more than ", max_bytes,
                                    " bytes: it isn't the file it is taken for"));
  }
  if (status != Z_STREAM_END)
    throw CheckpointError(message("[gzip] ", path.string(), " is damaged or cut off after ",
                                  unpacked.size(), " unpacked bytes"));
  return unpacked;
}

}  // namespace sdrbee::io
