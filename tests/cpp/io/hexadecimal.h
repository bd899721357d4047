// Bytes of golden files, which are kept as hexadecimal text.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace sdrbee::io::testing {

inline std::vector<std::byte> from_hexadecimal(const std::string& text) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

/// The same as text.
inline std::string string_from_hexadecimal(const std::string& text) {
  std::string bytes;
  for (const std::byte byte : from_hexadecimal(text)) bytes += static_cast<char>(byte);
  return bytes;
}

/// The same as pixels.
inline std::vector<uint8_t> pixels_from_hexadecimal(const std::string& text) {
  std::vector<uint8_t> pixels;
  for (const std::byte byte : from_hexadecimal(text))
    pixels.push_back(std::to_integer<uint8_t>(byte));
  return pixels;
}

}  // namespace sdrbee::io::testing
