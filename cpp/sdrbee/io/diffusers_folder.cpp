#include "sdrbee/io/diffusers_folder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/pickle_refusal.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/io/weight_file.h"

namespace sdrbee::io {
namespace {

namespace fs = std::filesystem;

/// The weights of exactly this variant ("" is the plain one), when their files are there.
std::optional<WeightFile> find_variant(const fs::path& folder, const std::string& stem,
                                       const std::string& variant) {
  const std::string suffix = variant.empty() ? "" : "." + variant;
  // Of shards, diffusers puts the variant before ".index", transformers after it.
  for (const std::string& name :
       {stem + suffix + ".safetensors", stem + ".safetensors" + suffix + ".index.json",
        stem + ".safetensors.index" + suffix + ".json", stem + suffix + ".safetensors.index.json",
        stem + suffix + ".gguf"})
    if (fs::exists(folder / name)) return open_weight_file(folder / name);
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

/// The part of the names of an encoder's tensors that current files leave out, for the classes that
/// have one.
std::optional<std::string> encoder_prefix(const std::string& class_name) {
  if (class_name == "CLIPTextModel" || class_name == "CLIPTextModelWithProjection")
    return "text_model.";
  if (class_name == "Qwen3Model" || class_name == "Qwen3ForCausalLM") return "model.";
  return std::nullopt;
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

WeightFile open_folder_weights(const fs::path& folder, const std::string& stem,
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

bool are_same_network(const std::string& class_name, const std::string& other) {
  return class_name == other ||
         (encoder_prefix(class_name) && encoder_prefix(class_name) == encoder_prefix(other));
}

std::shared_ptr<const WeightSource> with_current_names(std::shared_ptr<const WeightSource> source,
                                                       const std::string& class_name) {
  std::vector<RenameRule> rules;
  if (const auto prefix = encoder_prefix(class_name)) rules.push_back({*prefix, {""}});
  if (class_name == "AutoencoderKL") rules = old_vae_attention_rules();
  if (rules.empty()) return source;
  return std::make_shared<RenamedWeights>(std::move(source), rules);
}

Component open_component_folder(const fs::path& folder, const ComponentKind& kind,
                                const std::string& variant, std::vector<fs::path>& files) {
  Component component = describe_component_folder(folder, kind, files);
  if (const auto stem = weight_stem(kind.library, kind.class_name)) {
    WeightFile weights = open_folder_weights(folder, *stem, variant);
    files.insert(files.end(), weights.files.begin(), weights.files.end());
    component.weights = with_current_names(std::move(weights.source), kind.class_name);
  }
  return component;
}

Component describe_component_folder(const fs::path& folder, const ComponentKind& kind,
                                    std::vector<fs::path>& files) {
  const auto& [name, library, class_name] = kind;
  Component component = {name, library, class_name, Config(), nullptr, folder};
  require_folder(folder);
  const bool scheduler = class_name.find("Scheduler") != std::string::npos;
  if (scheduler || weight_stem(library, class_name)) {
    const fs::path config = folder / (scheduler ? "scheduler_config.json" : "config.json");
    component.config = Config::read(config);
    files.push_back(config);
  } else {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (entry.is_regular_file()) files.push_back(entry.path());
    if (const fs::path config = folder / "tokenizer_config.json"; fs::exists(config))
      component.config = Config::read(config);
  }
  return component;
}

}  // namespace sdrbee::io
