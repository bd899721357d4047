// SHA-256, to say which model and which inputs made a picture.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sdrbee {

/// A running SHA-256 (FIPS 180-4).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);

  /// The digest of everything so far as 64 hexadecimal digits; more may be added after it.
  std::string hexadecimal() const;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// The digest of one piece of memory.
std::string sha256(std::span<const std::byte> bytes);

}  // namespace sdrbee
