#include "sdrbee/lora/lora_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "sdrbee/core/cast.h"
#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/sha256.h"
#include "sdrbee/lora/lora_dialect.h"

namespace sdrbee::lora {
namespace {

using Json = nlohmann::json;

// Where diffusers keeps PEFT's configuration, its keys behind the component's name.
// https://github.com/huggingface/diffusers/blob/main/src/diffusers/loaders/lora_base.py
constexpr const char* kMetadataKey = "lora_adapter_metadata";

constexpr std::array<Role, 12> kWeightRoles = {
    Role::Down,   Role::Up,     Role::Diff,    Role::LohaW1A, Role::LohaW1B,   Role::LohaW2A,
    Role::LokrW1, Role::LokrW2, Role::LokrW1A, Role::LokrW2A, Role::DoraScale, Role::Value};

/// The component and the field of a key such as "unet.lora_alpha".
std::pair<std::string, std::string> split_metadata_key(const std::string& key) {
  const size_t dot = key.find('.');
  if (dot == std::string::npos) return {"", key};
  return {key.substr(0, dot), key.substr(dot + 1)};
}

std::map<std::string, LoraConfig> read_configs(const std::map<std::string, std::string>& metadata,
                                               const std::string& origin) {
  std::map<std::string, LoraConfig> configs;
  const auto found = metadata.find(kMetadataKey);
  if (found == metadata.end()) return configs;
  const Json json = Json::parse(found->second, nullptr, false);
  if (!json.is_object())
    throw CheckpointError(message("[", origin, "] metadata '", kMetadataKey,
                                  "': expected a JSON object but got ",
                                  found->second.substr(0, 100)));
  for (const auto& [key, value] : json.items()) {
    const auto [component, field] = split_metadata_key(key);
    LoraConfig& config = configs[component];
    if (field == "r" && value.is_number()) config.rank = value.get<double>();
    if (field == "lora_alpha" && value.is_number()) config.alpha = value.get<double>();
    if (field == "use_rslora" && value.is_boolean()) config.root_scale = value.get<bool>();
    if (field != "alpha_pattern" || !value.is_object()) continue;
    for (const auto& [name, alpha] : value.items())
      if (alpha.is_number()) config.alphas[name] = alpha.get<double>();
  }
  return configs;
}

/// Whether a module's name is `pattern`, or ends in it behind a dot.
bool is_or_ends_in(std::string_view name, std::string_view pattern) {
  return name == pattern || (name.size() > pattern.size() && name.ends_with(pattern) &&
                             name[name.size() - pattern.size() - 1] == '.');
}

/// The inputs of cross-attention, which tell the text encoders.
std::string base_by_context(int64_t width) {
  switch (width) {
    case 768:
      return "Stable Diffusion 1.x";
    case 1024:
      return "Stable Diffusion 2.x";
    case 2048:
      return "Stable Diffusion XL";
    default:
      return "";
  }
}

struct Mark {
  std::string_view part;
  std::string_view base;
};

// FLUX.1 or FLUX.2, whose blocks are called alike.
constexpr std::string_view kFlux = "FLUX";

// Parts of names, with underscores for dots, that only one architecture has.
constexpr std::array kMarks = {
    Mark{"query_norm", "FLUX.1, to which it adds a control image (as FLUX.1-Canny-dev has one)"},
    Mark{"to_qkv_mlp_proj", "FLUX.2"},
    Mark{"stream_modulation", "FLUX.2"},
    Mark{"ff_linear_in", "FLUX.2"},
    Mark{"proj_mlp", "FLUX.1"},
    Mark{"img_mod_lin", "FLUX.1"},
    Mark{"modulation_lin", "FLUX.1"},
    Mark{"single_transformer_blocks", kFlux},
    Mark{"single_blocks", kFlux},
    Mark{"double_blocks", kFlux},
    Mark{"joint_blocks", "Stable Diffusion 3"},
    Mark{"add_q_proj", "Stable Diffusion 3 or FLUX"},
    Mark{"attention_to_", "Z-Image"},
    Mark{"cap_embedder", "Z-Image or Lumina"},
    Mark{"noise_refiner", "Z-Image or Lumina"},
    Mark{"feed_forward_w", "Z-Image or Lumina"},
    Mark{"lora_te2_", "Stable Diffusion XL"},
    Mark{"input_blocks_8", "Stable Diffusion XL"},
};

struct Widening {
  std::string_view layer;
  int64_t factor;  ///< outputs for each input
  std::string_view base;
};

// Feed-forward layers of FLUX, joined with queries, keys and values, and alone.
constexpr std::array kWidenings = {Widening{"linear1", 7, "FLUX.1"},
                                   Widening{"linear1", 9, "FLUX.2"}, Widening{"mlp_0", 4, "FLUX.1"},
                                   Widening{"mlp_0", 6, "FLUX.2"}};

/// The name with underscores for dots.
std::string flat_name(std::string name) {
  std::ranges::replace(name, '.', '_');
  return name;
}

/// Which FLUX the factors [rank, in] and [out, rank] of a file are for.
std::string_view which_flux(const LoraFile& file) {
  for (const LoraModule& module : file.modules()) {
    const std::string name = flat_name(module.name);
    const auto down = file.shape(module, Role::Down);
    const auto up = file.shape(module, Role::Up);
    for (const Widening& one : kWidenings)
      if (name.ends_with(one.layer) && down.size() == 2 && up.size() == 2 &&
          up[0] == one.factor * down[1])
        return one.base;
  }
  return kFlux;
}

}  // namespace

bool LoraModule::changes_weight() const {
  return std::ranges::any_of(kWeightRoles, [this](Role role) { return has(role); });
}

std::shared_ptr<const LoraFile> LoraFile::open(const std::filesystem::path& path) {
  return std::shared_ptr<const LoraFile>(new LoraFile(path));
}

LoraFile::LoraFile(const std::filesystem::path& path)
    : source_(path), configs_(read_configs(source_.metadata(), path.string())) {
  std::map<std::string, LoraModule> modules;
  for (const std::string& key : source_.names()) {
    const auto parts = take_apart(key);
    if (!parts) {
      unknown_keys_.push_back(key);
      continue;
    }
    LoraModule& module = modules[parts->module];
    module.name = parts->module;
    module.tensors[parts->role] = key;
  }
  // Norms are in whole models, too.
  const auto is_lora = [](const auto& item) {
    return item.second.tensors.size() > 1 || !item.second.has(Role::Value);
  };
  if (std::ranges::none_of(modules, is_lora))
    throw CheckpointError(
        message("[", path.string(), "] expected a LoRA but no tensor is named as ",
                "one; the first is '", unknown_keys_.empty() ? "" : unknown_keys_.front(), "'"));
  for (auto& [name, module] : modules) modules_.push_back(std::move(module));
}

Tensor LoraFile::read(const LoraModule& module, Role role) const {
  SDRBEE_CHECK(module.has(role), module.name);
  return cast(source_.read(module.tensors.at(role)), Dtype::Float);
}

std::vector<int64_t> LoraFile::shape(const LoraModule& module, Role role) const {
  const auto key = module.tensors.find(role);
  return key == module.tensors.end() ? std::vector<int64_t>{} : source_.find(key->second)->shape;
}

double LoraFile::scale(const LoraModule& module, double rank) const {
  if (module.has(Role::Alpha)) return read(module, Role::Alpha).item<double>() / rank;
  const auto [component, rest] = split_metadata_key(module.name);
  const auto own = configs_.find(component);
  const auto found = own != configs_.end() ? own : configs_.find("");
  if (found == configs_.end()) return 1.0;
  const LoraConfig& config = found->second;
  double alpha = config.alpha > 0 ? config.alpha : rank;
  for (const auto& [pattern, value] : config.alphas)
    if (is_or_ends_in(module.name, pattern)) alpha = value;
  return alpha / (config.root_scale ? std::sqrt(rank) : rank);
}

const std::string& LoraFile::sha256() const {
  if (sha256_.empty()) sha256_ = sdrbee::sha256(io::MappedFile::open(path())->bytes());
  return sha256_;
}

std::string LoraFile::likely_base() const {
  for (const LoraModule& module : modules_) {
    const bool keys = flat_name(module.name).ends_with("attn2_to_k");
    const auto down = shape(module, Role::Down);
    if (keys && down.size() >= 2 && !base_by_context(down[1]).empty())
      return base_by_context(down[1]);
  }
  for (const Mark& mark : kMarks)
    for (const LoraModule& module : modules_)
      if (flat_name(module.name).find(mark.part) != std::string::npos)
        return std::string(mark.base == kFlux ? which_flux(*this) : mark.base);
  return "";
}

}  // namespace sdrbee::lora
