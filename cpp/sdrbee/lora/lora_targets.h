// Which weights of a model a LoRA file means.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
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
  /// What some files leave in the names of layers and the component leaves out, or the other way
  /// around: rules that lead to the component's names.
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

  /// A layer of a component.
  struct Layer {
    size_t target = 0;
    std::string name;  ///< without ".weight"
  };

  /// The layer that a file calls so; nothing when there is none.
  std::optional<Layer> find(const std::string& name) const;

 private:
  struct Names {
    std::vector<std::string> prefixes;  // with underscores, as all here
    std::vector<io::RenameRule> renames;
    std::map<std::string, std::string> layers;  // to the names with dots

    const std::string* find(const std::string& name) const;
  };
  std::vector<Names> targets_;
};

/// Matches a file with a model and checks the shapes. Throws CheckpointError for a shape that does
/// not fit, saying what the file looks made for.
Matched match(const std::shared_ptr<const LoraFile>& file, const LoraUse& use,
              const std::vector<Target>& targets, const LayerNames& layers);

}  // namespace sdrbee::lora
