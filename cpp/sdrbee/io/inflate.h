// Bounded decompression, so that a small file can't fill the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sdrbee::io {

/// The content of a zlib stream.
/// Throws InvalidRequest naming `origin` when it is damaged or holds more than `max_bytes`.
std::string inflate(std::span<const std::byte> compressed, size_t max_bytes,
                    const std::string& origin);

/// How many bytes the zlib stream that the pieces make up one after the other holds; counting stops
/// once it is over `max_bytes`. Throws InvalidRequest naming `origin` when the stream is damaged; a
/// stream that merely ends too early counts as far as it goes.
uint64_t count_inflated(std::span<const std::span<const std::byte>> pieces, uint64_t max_bytes,
                        const std::string& origin);

}  // namespace sdrbee::io
