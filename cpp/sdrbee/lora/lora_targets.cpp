#include "sdrbee/lora/lora_targets.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/lora/block_strengths.h"
#include "sdrbee/lora/lora_delta.h"

namespace sdrbee::lora {
namespace {

constexpr std::string_view kWeight = ".weight";

// What diffusers called the projections of attention before it used PEFT.
// https://github.com/huggingface/diffusers/blob/main/src/diffusers/utils/state_dict_utils.py
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kOldEndings = {{
    {"self_attn_to_q", "self_attn_q_proj"},
    {"self_attn_to_k", "self_attn_k_proj"},
    {"self_attn_to_v", "self_attn_v_proj"},
    {"self_attn_to_out", "self_attn_out_proj"},
    {"to_out", "to_out_0"},
}};

/// With underscores for dots, as kohya's files have all names.
std::string flat(std::string name) {
  std::ranges::replace(name, '.', '_');
  return name;
}

/// The name after the rule with the longest beginning of it; the name itself without one.
std::string renamed(const std::string& name, const std::vector<io::RenameRule>& rules) {
  const std::string ended = name + "_";  // a rule's beginning may be all of the name
  const io::RenameRule* best = nullptr;
  for (const io::RenameRule& rule : rules)
    if (rule.verb == io::RenameVerb::Rename && rule.from.ends_with('.') &&
        ended.starts_with(flat(rule.from)) && (!best || rule.from.size() > best->from.size()))
      best = &rule;
  if (!best) return name;
  std::string result = flat(best->to.front()) + ended.substr(best->from.size());
  if (!result.empty()) result.pop_back();
  return result;
}

std::string with_new_ending(const std::string& name) {
  for (const auto& [old_ending, new_ending] : kOldEndings)
    if (name.ends_with(old_ending))
      return name.substr(0, name.size() - old_ending.size()) + std::string(new_ending);
  return name;
}

}  // namespace

LayerNames::LayerNames(const std::vector<Target>& targets) {
  for (const Target& target : targets) {
    Names names{.prefixes = {}, .renames = target.names.renames, .layers = {}};
    for (const std::string& prefix : target.names.prefixes) names.prefixes.push_back(flat(prefix));
    for (const std::string& name : target.weights->names())
      if (name.ends_with(kWeight)) {
        const std::string layer = name.substr(0, name.size() - kWeight.size());
        names.layers[flat(layer)] = layer;
      }
    targets_.push_back(std::move(names));
  }
}

const std::string* LayerNames::Names::find(const std::string& name) const {
  for (const std::string& one : {name, renamed(name, renames)})
    for (const std::string& other : {one, with_new_ending(one)})
      if (const auto found = layers.find(other); found != layers.end()) return &found->second;
  return nullptr;
}

std::optional<LayerNames::Layer> LayerNames::find(const std::string& name) const {
  const std::string whole = flat(name);
  for (size_t i = 0; i < targets_.size(); ++i)
    for (const std::string& prefix : targets_[i].prefixes)
      if (whole.starts_with(prefix))
        if (const std::string* layer = targets_[i].find(whole.substr(prefix.size())))
          return Layer{i, *layer};
  for (size_t i = 0; i < targets_.size(); ++i)  // files of one component alone
    if (const std::string* layer = targets_[i].find(whole)) return Layer{i, *layer};
  return std::nullopt;
}

Matched match(const std::shared_ptr<const LoraFile>& file, const LoraUse& use,
              const std::vector<Target>& targets, const LayerNames& layers) {
  Matched matched{.changes = std::vector<WeightChanges>(targets.size()),
                  .unmatched = file->unknown_keys()};
  for (size_t i = 0; i < file->modules().size(); ++i) {
    const LoraModule& module = file->modules()[i];
    const auto layer = layers.find(module.name);
    if (!layer || (!module.changes_weight() && !module.changes_bias())) {
      for (const auto& item : module.tensors) matched.unmatched.push_back(item.second);
      continue;
    }
    const Target& target = targets[layer->target];
    const double strength = use.strength * block_strength(use.blocks, target.names.component,
                                                          layer->name, *target.weights);
    const auto change = [&](const std::string& name, bool bias) {
      if (strength != 0.0)
        matched.changes[layer->target][name].push_back({file, i, bias, strength});
    };
    if (module.changes_weight()) {
      const std::string name = layer->name + std::string(kWeight);
      check_shapes(*file, module, target.weights->find(name)->shape);
      change(name, false);
    }
    if (!module.changes_bias()) continue;
    const std::string name = layer->name + ".bias";
    if (const auto info = target.weights->find(name)) {
      check_bias_shape(*file, module, info->shape);
      change(name, true);
    } else {
      matched.unmatched.push_back(
          module.tensors.at(module.has(Role::UpBias) ? Role::UpBias : Role::DiffBias));
    }
  }
  return matched;
}

}  // namespace sdrbee::lora
