// Bytes written as text (RFC 4648, section 4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sdrbee::io {

/// The bytes of padded base64 without line breaks; nothing when the text is not that.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace sdrbee::io
