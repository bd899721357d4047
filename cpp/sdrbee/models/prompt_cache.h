// What text encoders made of the latest prompts.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// The results of a model's text encoders by encoder and tokens. The same tokens give the same
/// bits, so a result that is kept is as good as one that is made. The least recently used ones go
/// when all together take more than the limit.
class PromptCache {
 public:
  /// Hundreds of prompts of CLIP, a dozen of T5 with 512 tokens.
  static constexpr int64_t kDefaultBytes = int64_t{64} << 20;

  /// With a limit of 0 nothing is kept.
  explicit PromptCache(int64_t limit_bytes = kDefaultBytes) : limit_(limit_bytes) {}

  /// What is kept under `key`, or else what `make` gives, which is then kept. Never write to the
  /// tensors; each must have its memory for itself.
  std::vector<Tensor> get_or_make(const std::string& key,
                                  const std::function<std::vector<Tensor>()>& make);

  /// The bytes of all that is kept.
  int64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    std::vector<Tensor> tensors;
    int64_t bytes = 0;
  };

  int64_t limit_;
  int64_t bytes_ = 0;
  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

/// A key of the tokens that the encoder of that name is given.
std::string prompt_key(const std::string& encoder, const std::vector<int64_t>& tokens);

}  // namespace sdrbee
