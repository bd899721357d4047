#include "sdrbee/lora/lora_targets.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/lora/block_strengths.h"
#include "sdrbee/lora/lora_delta.h"

namespace sdrbee::lora {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kBias = ".bias";
// What the only tensor of a layer is called, where a rule is for the tensor: those of norms, too.
constexpr std::array<std::string_view, 2> kTensors = {"_weight", "_scale"};

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

/// Whether a layer's rows stay as they are, but for their order.
bool keeps_rows(io::RenameVerb verb) {
  return verb == io::RenameVerb::Rename || verb == io::RenameVerb::Split ||
         verb == io::RenameVerb::SwapHalves;
}

/// The name with what the rule is for replaced by `to`: its beginning, or all of it.
std::string renamed(const std::string& name, const io::RenameRule& rule, const std::string& to) {
  if (!rule.from.ends_with('.')) return flat(to.substr(0, to.rfind('.')));
  std::string result = flat(to) + (name + "_").substr(rule.from.size());
  if (!result.empty()) result.pop_back();
  return result;
}

std::string with_new_ending(const std::string& name) {
  for (const auto& [old_ending, new_ending] : kOldEndings)
    if (name.ends_with(old_ending))
      return name.substr(0, name.size() - old_ending.size()) + std::string(new_ending);
  return name;
}

/// A module of a file beside the layers that it changes.
class MatchedModule {
 public:
  MatchedModule(const std::shared_ptr<const LoraFile>& file, size_t module,
                const LayerNames::Layers& layers, const Target& target)
      : file_(file), module_(module), layers_(layers), target_(target) {}

  bool has_bias() const {
    return std::ranges::all_of(layers_.names, [&](const std::string& layer) {
      return target_.weights->find(layer + std::string(kBias)).has_value();
    });
  }

  /// Adds the changes of the layers' weights or biases, their shapes checked.
  void add(std::string_view tensor, const LoraUse& use, WeightChanges& changes) const {
    const std::vector<int64_t> whole = whole_shape(tensor);
    const bool bias = tensor == kBias;
    if (bias)
      check_bias_shape(*file_, module(), whole);
    else
      check_shapes(*file_, module(), whole, layers_.names.size());
    int64_t begin = 0;
    for (const std::string& layer : layers_.names) {
      const std::string name = layer + std::string(tensor);
      const int64_t count = target_.weights->find(name)->shape.front();
      Rows rows{.halves_swapped = layers_.halves_swapped};
      if (layers_.names.size() > 1) rows = {.whole = whole.front(), .begin = begin, .count = count};
      begin += count;
      const double strength = use.strength * block_strength(use.blocks, target_.names.component,
                                                            layer, *target_.weights);
      if (strength != 0.0) changes[name].push_back({file_, module_, bias, strength, rows});
    }
  }

 private:
  const LoraModule& module() const { return file_->modules()[module_]; }

  /// That of all layers, their rows behind each other.
  std::vector<int64_t> whole_shape(std::string_view tensor) const {
    std::vector<int64_t> shape;
    for (const std::string& layer : layers_.names) {
      const auto info = target_.weights->find(layer + std::string(tensor));
      if (shape.empty())
        shape = info->shape;
      else
        shape.front() += info->shape.front();
    }
    return shape;
  }

  const std::shared_ptr<const LoraFile>& file_;
  size_t module_;
  const LayerNames::Layers& layers_;
  const Target& target_;
};

using FoundLayers = std::vector<std::optional<LayerNames::Layers>>;

/// What the modules of a file mean, with no names where others say the same: trainers exist that
/// write queries, keys and values both one by one and as the layer that they were joined from.
/// https://github.com/huggingface/diffusers/blob/main/src/diffusers/loaders/lora_conversion_utils.py
FoundLayers find_once(const LoraFile& file, const LayerNames& layers) {
  FoundLayers found;
  std::set<std::pair<size_t, std::string>> own;
  for (const LoraModule& module : file.modules()) {
    const auto& one = found.emplace_back(layers.find(module.name));
    if (one && !one->renamed && module.changes_weight())
      own.emplace(one->target, one->names.front());
  }
  for (auto& one : found) {
    const auto is_own = [&](const auto& name) { return own.contains({one->target, name}); };
    if (one && one->renamed && std::ranges::any_of(one->names, is_own)) one->names.clear();
  }
  return found;
}

}  // namespace

LayerNames::LayerNames(const std::vector<Target>& targets) {
  for (const Target& target : targets) {
    Names names;
    for (const std::string& prefix : target.names.prefixes) names.prefixes.push_back(flat(prefix));
    for (const io::RenameRule& rule : target.names.renames)
      if (keeps_rows(rule.verb)) names.rules[flat(rule.from)] = rule;
    for (const std::string& name : target.weights->names())
      if (name.ends_with(kWeight)) {
        const std::string layer = name.substr(0, name.size() - kWeight.size());
        names.layers[flat(layer)] = layer;
      }
    targets_.push_back(std::move(names));
  }
}

const std::string* LayerNames::Names::find_layer(const std::string& name) const {
  for (const std::string& one : {name, with_new_ending(name)})
    if (const auto found = layers.find(one); found != layers.end()) return &found->second;
  return nullptr;
}

/// The rule for all of the name, or else for the longest beginning of it.
const io::RenameRule* LayerNames::Names::find_rule(const std::string& name) const {
  for (const std::string_view tensor : kTensors)
    if (const auto found = rules.find(name + std::string(tensor)); found != rules.end())
      return &found->second;
  std::string beginning = name + "_";
  while (!beginning.empty()) {
    if (const auto found = rules.find(beginning); found != rules.end()) return &found->second;
    beginning.pop_back();
    beginning.resize(beginning.rfind('_') + 1);  // nothing where there is none
  }
  return nullptr;
}

std::optional<LayerNames::Layers> LayerNames::Names::find(const std::string& name) const {
  if (const std::string* layer = find_layer(name)) return Layers{.names = {*layer}};
  const io::RenameRule* rule = find_rule(name);
  if (!rule) return std::nullopt;
  Layers layers_of_rule{.halves_swapped = rule->verb == io::RenameVerb::SwapHalves,
                        .renamed = true};
  for (const std::string& to : rule->to) {
    const std::string* layer = find_layer(renamed(name, *rule, to));
    if (!layer) return std::nullopt;
    layers_of_rule.names.push_back(*layer);
  }
  return layers_of_rule;
}

std::optional<LayerNames::Layers> LayerNames::find(const std::string& name) const {
  const std::string whole = flat(name);
  const auto found = [&](size_t target, const std::string& rest) {
    auto layers = targets_[target].find(rest);
    if (layers) layers->target = target;
    return layers;
  };
  for (size_t i = 0; i < targets_.size(); ++i)
    for (const std::string& prefix : targets_[i].prefixes)
      if (whole.starts_with(prefix))
        if (auto layers = found(i, whole.substr(prefix.size()))) return layers;
  for (size_t i = 0; i < targets_.size(); ++i)  // files of one component alone
    if (auto layers = found(i, whole)) return layers;
  return std::nullopt;
}

Matched match(const std::shared_ptr<const LoraFile>& file, const LoraUse& use,
              const std::vector<Target>& targets, const LayerNames& layers) {
  Matched matched{.changes = std::vector<WeightChanges>(targets.size()),
                  .unmatched = file->unknown_keys()};
  const FoundLayers all_found = find_once(*file, layers);
  for (size_t i = 0; i < file->modules().size(); ++i) {
    const LoraModule& module = file->modules()[i];
    const auto& found = all_found[i];
    if (found && found->names.empty()) continue;
    if (!found || (!module.changes_weight() && !module.changes_bias())) {
      for (const auto& item : module.tensors) matched.unmatched.push_back(item.second);
      continue;
    }
    const MatchedModule layer(file, i, *found, targets[found->target]);
    WeightChanges& changes = matched.changes[found->target];
    if (module.changes_weight()) layer.add(kWeight, use, changes);
    if (!module.changes_bias()) continue;
    if (layer.has_bias())
      layer.add(kBias, use, changes);
    else
      matched.unmatched.push_back(
          module.tensors.at(module.has(Role::UpBias) ? Role::UpBias : Role::DiffBias));
  }
  return matched;
}

}  // namespace sdrbee::lora
