// JSON files of models, read with errors that name the file and the key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdrbee::io {

using Json = nlohmann::json;

/// Longest JSON file that is read: tokenizer.json files of today reach some 30 MB.
inline constexpr uint64_t kMaxJsonBytes = 128 << 20;

/// Parses strict JSON: no duplicate keys, at most 64 levels deep. `origin` (a path) goes into
/// messages. Throws CheckpointError naming the origin and the byte offset.
Json parse_json(std::string_view text, const std::string& origin);

/// Reads and parses a file. Throws CheckpointError naming it.
Json read_json(const std::filesystem::path& path, uint64_t max_bytes = kMaxJsonBytes);

/// A JSON object and where it came from: the configuration of a model's component.
/// In all getters a missing key and a null give the fallback; a value of another type is a
/// CheckpointError that names the file, the key, and what was found.
class Config {
 public:
  Config() = default;
  /// Throws CheckpointError when `value` is not an object.
  Config(Json value, std::string origin);
  /// A configuration that is written in the code.
  Config(Json value) : Config(std::move(value), "built-in configuration") {}  // NOLINT: implicit

  /// Reads a file; an infinity as Python writes it (`-Infinity`) counts as null.
  static Config read(const std::filesystem::path& path);

  /// Whether the key is there with a value that is not null.
  bool has(std::string_view key) const;

  int64_t int64_or(std::string_view key, int64_t fallback) const;
  /// An integer of at least 1.
  int64_t positive_or(std::string_view key, int64_t fallback) const;
  double double_or(std::string_view key, double fallback) const;
  bool bool_or(std::string_view key, bool fallback) const;
  std::string string_or(std::string_view key, std::string fallback) const;

  /// Lists; a single value counts as a list of one (`attention_head_dim: 8`).
  std::vector<int64_t> int64s_or(std::string_view key, std::vector<int64_t> fallback) const;
  std::vector<double> doubles_or(std::string_view key, std::vector<double> fallback) const;
  std::vector<bool> bools_or(std::string_view key, std::vector<bool> fallback) const;
  std::vector<std::string> strings_or(std::string_view key,
                                      std::vector<std::string> fallback) const;

  /// The object under `key`, an empty one when there is none.
  Config object_or_empty(std::string_view key) const;

  /// Throws UnsupportedModel, naming file, key and value, unless the key is missing, null or
  /// `supported`: for options of an architecture that exist but that nothing here computes.
  void require(std::string_view key, const Json& supported) const;

  /// Throws CheckpointError: "[file] 'key': expected <expected> but got <the value>".
  [[noreturn]] void reject(std::string_view key, std::string_view expected) const;

  const Json& json() const { return value_; }
  const std::string& origin() const { return origin_; }

 private:
  Json value_ = Json::object();
  std::string origin_;
};

}  // namespace sdrbee::io
