#include "sdrbee/io/weight_file.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/gguf.h"
#include "sdrbee/io/json.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/io/safetensors.h"
#include "sdrbee/io/scaled_weights.h"

namespace sdrbee::io {
namespace {

namespace fs = std::filesystem;

bool starts_as_gguf(const fs::path& path) {
  std::array<char, kGgufMagic.size()> magic = {};
  std::ifstream(path, std::ios::binary).read(magic.data(), magic.size());
  return is_gguf({magic.data(), magic.size()});
}

WeightFile open_gguf(const fs::path& path) {
  const auto file = std::make_shared<GgufFile>(path);
  WeightFile opened = {file, {}, {path}};
  for (const auto& [key, value] : file->metadata())
    if (const auto* text = std::get_if<std::string>(&value)) opened.metadata[key] = *text;
  return opened;
}

/// Tensors that shards hold beside those that the index gives them: another model's shard.
void check_shard(const WeightSource& shard, const std::set<std::string>& listed,
                 const fs::path& index) {
  for (const std::string& name : listed)
    if (!shard.find(name))
      throw CheckpointError(message("[", shard.origin(name), "] missing tensor '", name, "' that ",
                                    index.string(), " lists"));
  for (const std::string& name : shard.names())
    if (!listed.contains(name))
      throw CheckpointError(message("[", shard.origin(name), "] tensor '", name, "' is not what ",
                                    index.string(), " lists for this file; is it another ",
                                    "model's shard?"));
}

WeightFile open_shards(const fs::path& path) {
  const Config index = Config::read(path);
  const Config map = index.object_or_empty("weight_map");
  if (map.json().empty()) index.reject("weight_map", "an object of tensor and file names");
  std::map<std::string, std::set<std::string>> listed;
  for (const auto& item : map.json().items()) {
    const std::string file = map.string_or(item.key(), "");
    if (!is_plain_file_name(file)) map.reject(item.key(), "a file name without a folder");
    listed[file].insert(item.key());
  }
  WeightFile opened = {nullptr, {}, {path}};
  std::vector<std::shared_ptr<const WeightSource>> sources;
  for (const auto& [file, names] : listed) {
    const auto shard = std::make_shared<SafetensorsFile>(path.parent_path() / file);
    check_shard(*shard, names, path);
    opened.files.push_back(shard->path());
    opened.metadata = shard->metadata();
    sources.push_back(shard);
  }
  opened.source = with_scales(std::make_shared<MergedWeights>(std::move(sources), path.string()));
  return opened;
}

bool is_shard_number(std::string_view text) {
  return text.size() == 5 &&
         std::ranges::all_of(text, [](char digit) { return digit >= '0' && digit <= '9'; });
}

struct ShardName {
  std::string_view stem, number, count;
};

/// The parts of "<stem>-00001-of-00002".
std::optional<ShardName> shard_name(std::string_view name) {
  constexpr std::string_view kNumbers = "-00001-of-00002";
  if (name.size() < kNumbers.size()) return std::nullopt;
  const std::string_view numbers = name.substr(name.size() - kNumbers.size());
  const ShardName shard{.stem = name.substr(0, name.size() - kNumbers.size()),
                        .number = numbers.substr(1, 5),
                        .count = numbers.substr(10)};
  if (numbers[0] != '-' || numbers.substr(6, 4) != "-of-" || !is_shard_number(shard.number) ||
      !is_shard_number(shard.count))
    return std::nullopt;
  return shard;
}

/// A shard holds a part of the layers only; it must come with its index.
void refuse_lone_shard(const fs::path& path) {
  if (path.extension() != ".safetensors") return;
  const std::string name = path.stem().string();
  auto shard = shard_name(name);
  if (!shard) shard = shard_name(std::string_view(name).substr(0, name.rfind('.')));  // ".fp16"
  if (!shard || shard->count == "00001") return;
  throw CheckpointError(message("[", path.string(), "] this is shard ", shard->number, " of ",
                                shard->count, "; give the index of all (", shard->stem,
                                ".safetensors.index.json) or the folder that they lie in"));
}

}  // namespace

WeightFile open_weight_file(const fs::path& path) {
  if (path.extension() == ".json") return open_shards(path);
  refuse_lone_shard(path);
  if (starts_as_gguf(path)) return open_gguf(path);
  const auto file = std::make_shared<SafetensorsFile>(path);
  return {with_scales(file), file->metadata(), {path}};
}

}  // namespace sdrbee::io
