#include "sdrbee/io/json.h"

#include <set>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"

namespace sdrbee::io {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxShownCharacters = 80;

/// Refuses what nlohmann's parser lets pass: duplicate keys (it keeps the last) and any depth.
class StrictnessCheck {
 public:
  explicit StrictnessCheck(const std::string& origin) : origin_(origin) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& value) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (depth >= kMaxDepth)
        throw CheckpointError(
            message("[", origin_, "] JSON nested deeper than ", kMaxDepth, " levels"));
      keys_.emplace_back();
    } else if (event == Json::parse_event_t::object_end ||
               event == Json::parse_event_t::array_end) {
      keys_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second)
        throw CheckpointError(message("[", origin_, "] duplicate JSON key '", key, "'"));
    }
    return true;
  }

 private:
  const std::string& origin_;
  std::vector<std::set<std::string>> keys_;
};

/// Python's json writes numbers that JSON has no form for: diffusers' "lambda_min_clipped":
/// -Infinity. They become null, which stands for a value that isn't given.
std::string without_non_finite_numbers(std::string text) {
  std::string kept;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    const std::string_view rest = std::string_view(text).substr(i);
    size_t length = 0;
    for (const std::string_view spelling : {"NaN", "Infinity", "-Infinity"})
      if (!in_string && rest.starts_with(spelling)) length = spelling.size();
    if (length > 0) {
      kept += "null";
      i += length;
      continue;
    }
    const bool escaped = in_string && text[i] == '\\' && i + 1 < text.size();
    if (text[i] == '"') in_string = !in_string;
    kept.append(text, i, escaped ? 2 : 1);
    i += escaped ? 2 : 1;
  }
  return kept;
}

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kMaxShownCharacters) text = text.substr(0, kMaxShownCharacters) + "...";
  return text;
}

/// Python writes infinities as the bare words Infinity and -Infinity, which JSON does not have
/// (diffusers' DPM solvers store lambda_min_clipped so). They become null, at the same length so
/// that the offsets in messages stay right.
std::string infinities_to_null(std::string text) {
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (in_string && text[at] == '\\')
      ++at;
    else if (text[at] == '"')
      in_string = !in_string;
    if (in_string || at >= text.size()) continue;
    for (const std::string_view word : {"-Infinity", "Infinity"})
      if (std::string_view(text).substr(at).starts_with(word))
        text.replace(at, word.size(), std::string("null").append(word.size() - 4, ' '));
  }
  return text;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& origin) {
  StrictnessCheck check(origin);
  try {
    // The parser keeps its own stack, so that nesting can't overflow the thread's.
    return Json::parse(text.begin(), text.end(), Json::parser_callback_t(std::ref(check)));
  } catch (const Json::parse_error& error) {
    throw CheckpointError(
        message("[", origin, "] not valid JSON at byte ", error.byte, ": ", error.what()));
  } catch (const Json::exception& error) {
    throw CheckpointError(message("[", origin, "] not valid JSON: ", error.what()));
  }
}

Json read_json(const std::filesystem::path& path, uint64_t max_bytes) {
  std::string text = read_file(path, max_bytes);
  if (text.find("Infinity") != text.npos || text.find("NaN") != text.npos)
    text = without_non_finite_numbers(std::move(text));
  return parse_json(text, path.string());
}

Config::Config(Json value, std::string origin)
    : value_(std::move(value)), origin_(std::move(origin)) {
  if (!value_.is_object())
    throw CheckpointError(
        message("[", origin_, "] expected a JSON object but got ", shown(value_)));
}

Config Config::read(const std::filesystem::path& path) {
  const std::string text = infinities_to_null(read_file(path, kMaxJsonBytes));
  return Config(parse_json(text, path.string()), path.string());
}

bool Config::has(std::string_view key) const {
  const auto found = value_.find(key);
  return found != value_.end() && !found->is_null();
}

void Config::reject(std::string_view key, std::string_view expected) const {
  const auto found = value_.find(key);
  throw CheckpointError(message("[", origin_, "] '", key, "': expected ", expected, " but got ",
                                found == value_.end() ? "nothing" : shown(*found)));
}

void Config::require(std::string_view key, const Json& supported) const {
  if (!has(key) || *value_.find(key) == supported) return;
  throw UnsupportedModel(message("[", origin_, "] '", key, "': only ", shown(supported),
                                 " is supported but got ", shown(*value_.find(key))));
}

int64_t Config::int64_or(std::string_view key, int64_t fallback) const {
  if (!has(key)) return fallback;
  const std::vector<int64_t> values = int64s_or(key, {});
  if (values.size() != 1 || value_.find(key)->is_array()) reject(key, "an integer");
  return values.front();
}

int64_t Config::positive_or(std::string_view key, int64_t fallback) const {
  const int64_t value = int64_or(key, fallback);
  if (value < 1) reject(key, "a positive integer");
  return value;
}

double Config::double_or(std::string_view key, double fallback) const {
  if (!has(key)) return fallback;
  const Json& value = *value_.find(key);
  if (!value.is_number()) reject(key, "a number");
  return value.get<double>();
}

bool Config::bool_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& value = *value_.find(key);
  if (!value.is_boolean()) reject(key, "true or false");
  return value.get<bool>();
}

std::string Config::string_or(std::string_view key, std::string fallback) const {
  if (!has(key)) return fallback;
  const Json& value = *value_.find(key);
  if (!value.is_string()) reject(key, "a text");
  return value.get<std::string>();
}

namespace {

/// The values of a list or of a single value, each accepted by `fits`; false when one is not.
template <typename T, typename Fits>
bool collect(const Json& value, Fits fits, std::vector<T>& values) {
  if (!value.is_array()) {
    if (!fits(value)) return false;
    values.push_back(value.get<T>());
    return true;
  }
  for (const Json& item : value) {
    if (!fits(item)) return false;
    values.push_back(item.get<T>());
  }
  return true;
}

bool is_int64(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
  return value.is_number_integer();
}

}  // namespace

std::vector<int64_t> Config::int64s_or(std::string_view key, std::vector<int64_t> fallback) const {
  if (!has(key)) return fallback;
  std::vector<int64_t> values;
  if (!collect(*value_.find(key), is_int64, values)) reject(key, "integers");
  return values;
}

std::vector<double> Config::doubles_or(std::string_view key, std::vector<double> fallback) const {
  if (!has(key)) return fallback;
  std::vector<double> values;
  if (!collect(
          *value_.find(key), [](const Json& v) { return v.is_number(); }, values))
    reject(key, "numbers");
  return values;
}

std::vector<bool> Config::bools_or(std::string_view key, std::vector<bool> fallback) const {
  if (!has(key)) return fallback;
  std::vector<bool> values;
  if (!collect(
          *value_.find(key), [](const Json& v) { return v.is_boolean(); }, values))
    reject(key, "true or false values");
  return values;
}

std::vector<std::string> Config::strings_or(std::string_view key,
                                            std::vector<std::string> fallback) const {
  if (!has(key)) return fallback;
  std::vector<std::string> values;
  if (!collect(
          *value_.find(key), [](const Json& v) { return v.is_string(); }, values))
    reject(key, "texts");
  return values;
}

Config Config::object_or_empty(std::string_view key) const {
  if (!has(key)) return Config(Json::object(), origin_);
  const Json& value = *value_.find(key);
  if (!value.is_object()) reject(key, "an object");
  return Config(value, origin_);
}

}  // namespace sdrbee::io
