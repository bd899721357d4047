#include "sdrbee/io/diffusers_folder.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/pickle_refusal.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/io/safetensors.h"

namespace sdrbee::io {
namespace {

namespace fs = std::filesystem;

/// A file name without any folder part, so that a hostile index can't reach out of its folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

FolderWeights open_shards(const fs::path& index_path) {
  const Config index = Config::read(index_path);
  const Config map = index.object_or_empty("weight_map");
  if (map.json().empty()) index.reject("weight_map", "an object of tensor and file names");
  FolderWeights weights = {nullptr, {index_path}};
  std::map<std::string, std::shared_ptr<const WeightSource>> shards;
  for (const auto& item : map.json().items()) {
    const std::string file = map.string_or(item.key(), "");
    if (!is_plain_name(file)) map.reject(item.key(), "a file name without a folder");
    auto& shard = shards[file];
    if (shard == nullptr) {
      weights.files.push_back(index_path.parent_path() / file);
      shard = std::make_shared<SafetensorsFile>(weights.files.back());
    }
    if (!shard->find(item.key()))
      throw CheckpointError(message("[", shard->origin(""), "] missing tensor '", item.key(),
                                    "' that ", index_path.string(), " lists"));
  }
  std::vector<std::shared_ptr<const WeightSource>> sources;
  for (const auto& item : shards) sources.push_back(item.second);
  weights.source = std::make_shared<MergedWeights>(std::move(sources), index_path.string());
  return weights;
}

/// The weights of exactly this variant ("" is the plain one), when their files are there.
std::optional<FolderWeights> find_variant(const fs::path& folder, const std::string& stem,
                                          const std::string& variant) {
  const std::string suffix = variant.empty() ? "" : "." + variant;
  const fs::path single = folder / (stem + suffix + ".safetensors");
  if (fs::exists(single)) return FolderWeights{std::make_shared<SafetensorsFile>(single), {single}};
  // diffusers puts the variant before ".index", transformers after it.
  for (const std::string& name :
       {stem + ".safetensors" + suffix + ".index.json",
        stem + ".safetensors.index" + suffix + ".json", stem + suffix + ".safetensors.index.json"})
    if (fs::exists(folder / name)) return open_shards(folder / name);
  return std::nullopt;
}

void require_folder(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw CheckpointError(message("[", folder.string(), "] the component's folder is missing"));
}

std::optional<std::string> weight_stem(const std::string& library, const std::string& class_name) {
  const auto is = [&](std::string_view part) { return class_name.find(part) != std::string::npos; };
  if (is("Scheduler") || is("Tokenizer") || is("Processor") || is("FeatureExtractor"))
    return std::nullopt;
  return library == "transformers" ? "model" : "diffusion_pytorch_model";
}

bool is_clip_text_model(const std::string& class_name) {
  return class_name == "CLIPTextModel" || class_name == "CLIPTextModelWithProjection";
}

/// Attention of AutoencoderKL as files from before diffusers 0.18 name it.
std::vector<RenameRule> old_vae_attention_rules() {
  std::vector<RenameRule> rules;
  for (const char* half : {"encoder", "decoder"})
    for (const auto& [old_name, name] : {std::pair("query", "to_q"),
                                         {"key", "to_k"},
                                         {"value", "to_v"},
                                         {"proj_attn", "to_out.0"}}) {
      const std::string attention = std::string(half) + ".mid_block.attentions.0.";
      rules.push_back({attention + old_name + ".", {attention + name + "."}});
    }
  return rules;
}

}  // namespace

FolderWeights open_folder_weights(const fs::path& folder, const std::string& stem,
                                  const std::string& variant) {
  require_folder(folder);
  if (auto found = find_variant(folder, stem, variant)) return *std::move(found);
  if (variant.empty())
    if (auto found = find_variant(folder, stem, "fp16")) return *std::move(found);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (has_pickle_extension(entry.path())) refuse_pickle(entry.path(), {});
  throw CheckpointError(message("[", folder.string(), "] expected ", stem,
                                variant.empty() ? "" : "." + variant,
                                ".safetensors but there is no such file"));
}

std::shared_ptr<const WeightSource> with_current_names(std::shared_ptr<const WeightSource> source,
                                                       const std::string& class_name) {
  std::vector<RenameRule> rules;
  if (is_clip_text_model(class_name)) rules.push_back({"text_model.", {""}});
  if (class_name == "AutoencoderKL") rules = old_vae_attention_rules();
  if (rules.empty()) return source;
  return std::make_shared<RenamedWeights>(std::move(source), rules);
}

Component open_folder_component(const fs::path& model, const std::string& name,
                                const std::string& library, const std::string& class_name,
                                const std::string& variant, std::vector<fs::path>& files) {
  if (!is_plain_name(name))
    throw CheckpointError(message("[", (model / "model_index.json").string(), "] '", name,
                                  "': expected a component name without a folder"));
  Component component = {name, library, class_name, Config(), nullptr, model / name};
  require_folder(component.folder);
  const auto stem = weight_stem(library, class_name);
  const bool scheduler = class_name.find("Scheduler") != std::string::npos;
  if (stem || scheduler) {
    const fs::path config =
        component.folder / (scheduler ? "scheduler_config.json" : "config.json");
    component.config = Config::read(config);
    files.push_back(config);
  } else {
    for (const fs::directory_entry& entry : fs::directory_iterator(component.folder))
      if (entry.is_regular_file()) files.push_back(entry.path());
    if (const fs::path config = component.folder / "tokenizer_config.json"; fs::exists(config))
      component.config = Config::read(config);
  }
  if (stem) {
    FolderWeights weights = open_folder_weights(component.folder, *stem, variant);
    files.insert(files.end(), weights.files.begin(), weights.files.end());
    component.weights = with_current_names(std::move(weights.source), class_name);
  }
  return component;
}

}  // namespace sdrbee::io
