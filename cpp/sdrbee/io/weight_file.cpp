#include "sdrbee/io/weight_file.h"

#include <array>
#include <cstddef>
#include <fstream>
#include <regex>
#include <set>
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

/// A shard holds a part of the layers only; it must come with its index.
void refuse_lone_shard(const fs::path& path) {
  static const std::regex kShard(R"((.*?)-(\d{5})-of-(\d{5})(\.[^.]+)?\.safetensors)");
  std::smatch match;
  const std::string name = path.filename().string();
  if (std::regex_match(name, match, kShard) && match[3] != "00001")
    throw CheckpointError(message("[", path.string(), "] this is shard ", match[2].str(), " of ",
                                  match[3].str(), "; give the index of all (", match[1].str(),
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
