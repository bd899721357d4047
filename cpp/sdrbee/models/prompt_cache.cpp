#include "sdrbee/models/prompt_cache.h"

#include <utility>

namespace sdrbee {
namespace {

int64_t byte_count(const std::string& key, const std::vector<Tensor>& tensors) {
  auto bytes = static_cast<int64_t>(key.size());
  for (const Tensor& tensor : tensors)
    if (tensor.defined()) bytes += static_cast<int64_t>(tensor.storage().nbytes());
  return bytes;
}

}  // namespace

std::vector<Tensor> PromptCache::get_or_make(const std::string& key,
                                             const std::function<std::vector<Tensor>()>& make) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front().tensors;
  }
  std::vector<Tensor> made = make();
  const int64_t bytes = byte_count(key, made);
  if (bytes > limit_) return made;
  entries_.push_front({.key = key, .tensors = made, .bytes = bytes});
  by_key_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > limit_) {
    bytes_ -= entries_.back().bytes;
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  return made;
}

std::string prompt_key(const std::string& encoder, const std::vector<int64_t>& tokens) {
  std::string key = encoder + '\0';
  key.append(reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(int64_t));
  return key;
}

}  // namespace sdrbee
