// Which weights of a model a LoRA file means.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/lora/adapted_weights.h"
#include "sdrbee/lora/lora_file.h"
#include "sdrbee/lora/lora_use.h"

namespace sdrbee::lora {

/// What LoRA files call a component of a model. Families bring it in as data.
struct ComponentNames {
  std::string component;  ///< "unet"
  /// What stands before its layers: "unet." before names with dots, "lora_unet_" before those with
  /// underscores.
  std::vector<std::string> prefixes;
  /// Rules that lead from other names of layers to the component's: what a checkpoint of the
  /// original code is renamed by. Rename, Split and SwapHalves count.
  std::vector<io::RenameRule> renames = {};
};

/// A component that can be changed.
struct Target {
  ComponentNames names;
  std::shared_ptr<AdaptedWeights> weights;
};

/// The changes of all components, in the order of the targets.
struct Matched {
  std::vector<WeightChanges> changes;
  std::vector<std::string> unmatched;  ///< keys of the file that mean nothing in this model
};

/// The names by which files may call the layers of a model.
class LayerNames {
 public:
  explicit LayerNames(const std::vector<Target>& targets);

  /// Layers of a component that a file has as one.
  struct Layers {
    size_t target = 0;
    /// Without ".weight"; several where the file has their rows behind each other.
    std::vector<std::string> names = {};
    bool halves_swapped = false;  ///< of the rows
    bool renamed = false;         ///< by a rule: the file has not the model's own name
  };

  /// What a file calls so; nothing when the model has no such layer.
  std::optional<Layers> find(const std::string& name) const;

 private:
  struct Names {
    std::vector<std::string> prefixes;                      // with underscores, as all here
    std::unordered_map<std::string, io::RenameRule> rules;  // by what they rename
    std::unordered_map<std::string, std::string> layers;    // to the names with dots

    const std::string* find_layer(const std::string& name) const;
    const io::RenameRule* find_rule(const std::string& name) const;
    std::optional<Layers> find(const std::string& name) const;
  };
  std::vector<Names> targets_;
};

/// Matches a file with a model and checks the shapes. A layer that a file has twice, under its own
/// name and under that of the original code, is changed once, by the first. Throws CheckpointError
/// for a shape that does not fit, saying what the file looks made for.
Matched match(const std::shared_ptr<const LoraFile>& file, const LoraUse& use,
              const std::vector<Target>& targets, const LayerNames& layers);

}  // namespace sdrbee::lora
