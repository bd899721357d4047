#include "sdrbee/core/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

using ContextPointer = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

ContextPointer new_context() { return {EVP_MD_CTX_new(), EVP_MD_CTX_free}; }

void check(int result) {
  if (result != 1) throw InternalError("[sha256] libcrypto refused SHA-256");
}

}  // namespace

struct Sha256::Context {
  ContextPointer value = new_context();
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  check(EVP_DigestInit_ex(context_->value.get(), EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(context_->value.get(), bytes.data(), bytes.size()));
}

void Sha256::update(std::string_view text) { update(std::as_bytes(std::span(text))); }

std::string Sha256::hexadecimal() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int length = 0;
  const ContextPointer copy = new_context();
  check(EVP_MD_CTX_copy_ex(copy.get(), context_->value.get()));
  check(EVP_DigestFinal_ex(copy.get(), digest.data(), &length));
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hexadecimal();
}

}  // namespace sdrbee
