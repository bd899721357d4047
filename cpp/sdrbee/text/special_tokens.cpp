#include "sdrbee/text/special_tokens.h"

#include <algorithm>
#include <vector>

#include "sdrbee/core/error.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::Json;

// A special token as configuration files write it: a string, or an object with flags.
struct SpecialToken {
  AddedToken token;
  bool from_string = false;
  bool operator==(const SpecialToken&) const = default;
};

SpecialToken special_token(const fs::path& file, const std::string& key, const Json& value) {
  if (value.is_string()) return {{.content = value.get<std::string>()}, true};
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string())
    reject_vocabulary(file, message("'", key, "': expected a token but got ", value.dump()));
  const auto flag = [&](const char* name, bool fallback) {
    if (value.contains(name) && !value[name].is_boolean())
      reject_vocabulary(file, message("'", key, ".", name, "': expected true or false"));
    return value.value(name, fallback);
  };
  const bool special = flag("special", key.ends_with("_token"));
  return {{.content = value["content"].get<std::string>(),
           .single_word = flag("single_word", false),
           .normalized = flag("normalized", !special)},
          false};
}

// What Hugging Face's from_pretrained gathers before it builds a tokenizer.
struct SpecialTokens {
  std::vector<SpecialToken> added;  // in the order of being added
  std::vector<std::pair<std::string, SpecialToken>> named;
};

// Tokens that files list by id: in tokenizer_config.json, else in tokenizer.json and
// added_tokens.json.
std::vector<SpecialToken> listed_tokens(const fs::path& folder, const Json& config,
                                        const Json& tokenizer) {
  std::map<int64_t, SpecialToken> by_id;
  if (config.contains("added_tokens_decoder")) {
    const fs::path file = folder / kTokenizerConfig;
    if (!config["added_tokens_decoder"].is_object())
      reject_vocabulary(file, "'added_tokens_decoder': expected an object");
    for (const auto& [key, value] : config["added_tokens_decoder"].items()) {
      if (key.empty() || key.size() > 8 || key.find_first_not_of("0123456789") != key.npos)
        reject_vocabulary(file,
                          message("'added_tokens_decoder': expected ids but got '", key, "'"));
      by_id[std::stoll(key)] = special_token(file, "added_tokens_decoder." + key, value);
    }
  } else {
    const fs::path legacy = folder / "added_tokens.json";
    const Json legacy_tokens = optional_json(legacy);
    for (const auto& [content, id] : legacy_tokens.items())
      by_id[checked_id(legacy, content, id)] = {{.content = content, .normalized = true}, false};
    for (const Json& value : tokenizer.value("added_tokens", Json::array()))
      by_id[checked_id(folder / kTokenizerJson, "added_tokens", value.value("id", Json()))] =
          special_token(folder / kTokenizerJson, "added_tokens", value);
  }
  std::vector<SpecialToken> tokens;
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

SpecialTokens gather_special_tokens(const fs::path& folder, const Json& config,
                                    const Json& tokenizer, std::span<const TokenUse> uses) {
  SpecialTokens result{.added = listed_tokens(folder, config, tokenizer), .named = {}};
  const size_t listed_count = result.added.size();
  const fs::path map_file = folder / "special_tokens_map.json";
  const Json map =
      config.contains("added_tokens_decoder") ? Json::object() : optional_json(map_file);
  for (const TokenUse& use : uses) {
    const std::string key(use.key);
    SpecialToken token{{.content = std::string(use.usual)}, true};
    if (map.contains(key) && !map[key].is_null())
      token = special_token(map_file, key, map[key]);
    else if (config.contains(key) && !config[key].is_null())
      token = special_token(folder / kTokenizerConfig, key, config[key]);
    if (token.token.content.empty()) continue;
    const auto listed_end = result.added.begin() + static_cast<std::ptrdiff_t>(listed_count);
    const auto listed = std::find_if(
        result.added.begin(), listed_end,
        [&](const SpecialToken& other) { return other.token.content == token.token.content; });
    if (listed != listed_end)
      token = *listed;
    else if (std::find(result.added.begin(), result.added.end(), token) == result.added.end())
      result.added.push_back(token);  // the same content again with other flags replaces them
    result.named.emplace_back(key, token);
  }
  return result;
}

}  // namespace

std::map<std::string, int64_t, std::less<>> add_special_tokens(BpeVocabulary& vocabulary,
                                                               const fs::path& folder,
                                                               const Json& tokenizer,
                                                               std::span<const TokenUse> uses) {
  const SpecialTokens tokens =
      gather_special_tokens(folder, optional_json(folder / kTokenizerConfig), tokenizer, uses);
  for (const SpecialToken& added : tokens.added) add_token(vocabulary, added.token);
  std::map<std::string, int64_t, std::less<>> named;
  for (const auto& [use, token] : tokens.named)
    named[use] =
        std::ranges::find(vocabulary.added_tokens, token.token.content, &AddedToken::content)->id;
  return named;
}

}  // namespace sdrbee::text
