// The LoRAs that act on a model.
#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/lora/lora_targets.h"

namespace sdrbee {

/// What of a model can be changed by LoRAs, and what is. The components of the model add
/// themselves; the family says what files call them.
class Adapters {
 public:
  /// A component's weights. Those that no file has a name for stay as they are.
  void add(const std::string& component, std::shared_ptr<lora::AdaptedWeights> weights);

  /// What files call the components.
  void set_names(std::vector<lora::ComponentNames> names) { names_ = std::move(names); }

  /// See ImageModel::adapt.
  std::vector<std::string> use(std::vector<lora::LoraUse>& loras);

 private:
  /// A file as it matched the model.
  struct Known {
    lora::LoraUse use;
    std::filesystem::file_time_type changed;
    std::shared_ptr<const lora::LoraFile> file;
    lora::Matched matched;
  };
  const Known& known(const lora::LoraUse& use);
  void find_targets();

  std::vector<lora::ComponentNames> names_;
  std::map<std::string, std::shared_ptr<lora::AdaptedWeights>> components_;
  std::vector<lora::Target> targets_;
  std::optional<lora::LayerNames> layers_;
  std::list<Known> known_;  // the most recently used first
  std::vector<lora::LoraUse> acting_;
  std::vector<std::filesystem::file_time_type> acting_since_;  // when their files were written
  std::vector<std::string> warnings_;                          // about those that act
};

}  // namespace sdrbee
