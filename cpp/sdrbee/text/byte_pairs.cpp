#include "sdrbee/text/byte_pairs.h"

#include <queue>

#include "sdrbee/core/error.h"
#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

uint64_t pair_key(int64_t left, int64_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
}

int64_t id_or_unknown(const TokenIds& ids, const std::string& token) {
  const auto found = ids.find(token);
  return found == ids.end() ? -1 : found->second;
}

int64_t required_id(const TokenIds& ids, const std::string& token,
                    const std::pair<std::string, std::string>& rule) {
  const int64_t id = id_or_unknown(ids, token);
  if (id < 0)
    throw CheckpointError(message("[tokenizer] the merge rule '", rule.first, " ", rule.second,
                                  "' needs the token '", token,
                                  "', which the vocabulary lacks: do both files belong together?"));
  return id;
}

// A possible merge of the symbol at `position` with the one after it: lowest rank first, then
// leftmost.
struct Candidate {
  int32_t rank;
  uint32_t position;
  int64_t merged;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

const std::array<char32_t, 256>& byte_characters() {
  static const auto kCharacters = [] {
    std::array<char32_t, 256> characters{};
    char32_t next = 256;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
      characters[byte] = printable ? byte : next++;
    }
    return characters;
  }();
  return kCharacters;
}

std::string bytes_of_token(const std::string& token) {
  static const auto kBytes = [] {
    std::unordered_map<char32_t, char> bytes;
    for (size_t byte = 0; byte < 256; ++byte)
      bytes[byte_characters()[byte]] = static_cast<char>(byte);
    return bytes;
  }();
  std::string text;
  for (const char32_t character : decode_utf8(token)) {
    const auto byte = kBytes.find(character);
    if (byte != kBytes.end())
      text += byte->second;
    else
      append_utf8(text, character);
  }
  return text;
}

std::array<int64_t, 256> byte_ids(const TokenIds& ids, const std::string& suffix) {
  std::array<int64_t, 256> found{};
  for (size_t byte = 0; byte < 256; ++byte) {
    std::string token;
    append_utf8(token, byte_characters()[byte]);
    found[byte] = id_or_unknown(ids, token + suffix);
  }
  return found;
}

std::vector<std::string> tokens_by_id(const BpeVocabulary& vocabulary) {
  std::vector<std::string> tokens;
  const auto keep = [&tokens](const std::string& token, int64_t id) {
    if (static_cast<size_t>(id) >= tokens.size()) tokens.resize(static_cast<size_t>(id) + 1);
    tokens[static_cast<size_t>(id)] = token;
  };
  for (const auto& [token, id] : vocabulary.ids) keep(token, id);
  for (const AddedToken& added : vocabulary.added_tokens) keep(added.content, added.id);
  return tokens;
}

BytePairs::BytePairs(const BpeVocabulary& vocabulary) {
  merges_.reserve(vocabulary.merges.size());
  int32_t rank = 0;
  for (const auto& rule : vocabulary.merges) {
    const int64_t left = required_id(vocabulary.ids, rule.first, rule);
    const int64_t right = required_id(vocabulary.ids, rule.second, rule);
    const int64_t merged = required_id(vocabulary.ids, rule.first + rule.second, rule);
    merges_[pair_key(left, right)] = {rank++, merged};
  }
}

// -1 takes the place of a symbol that went into the one before it. Stale entries stay in the queue
// and are recognised when they come up.
void BytePairs::merge(std::vector<int64_t>& symbols) const {
  const auto count = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> next(count), previous(count);
  for (uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // wraps at 0, where it is never read
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto find = [&](uint32_t left) {
    return next[left] < count ? merges_.find(pair_key(symbols[left], symbols[next[left]]))
                              : merges_.end();
  };
  const auto propose = [&](uint32_t left) {
    const auto merge = find(left);
    if (merge != merges_.end()) queue.push({merge->second.rank, left, merge->second.id});
  };
  for (uint32_t i = 0; i < count; ++i) propose(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    const uint32_t left = best.position;
    if (symbols[left] < 0) continue;
    const auto merge = find(left);
    if (merge == merges_.end() || merge->second.id != best.merged) continue;
    const uint32_t right = next[left];
    symbols[left] = best.merged;
    symbols[right] = -1;
    next[left] = next[right];
    if (next[left] < count) previous[next[left]] = left;
    if (left > 0) propose(previous[left]);
    propose(left);
  }
  std::erase(symbols, -1);
}

}  // namespace sdrbee::text
