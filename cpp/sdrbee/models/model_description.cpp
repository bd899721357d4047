#include "sdrbee/models/model_description.h"

#include <algorithm>

namespace sdrbee {
namespace {

void add_tensor(const io::WeightInfo& info, StoredComponent& component) {
  const int64_t values = c10::multiply_integers(info.shape);
  component.parameters += values;
  if (info.blocks) {
    const io::GgmlLayout& layout = io::ggml_layout(*info.blocks);
    component.bytes += values / layout.block_elements * layout.block_bytes;
    component.types[std::string(layout.name)] += values;
  } else {
    component.bytes += values * static_cast<int64_t>(c10::elementSize(info.dtype));
    component.types[dtype_name(info.dtype)] += values;
  }
}

}  // namespace

std::map<std::string, StoredComponent> describe_components(const io::Checkpoint& checkpoint) {
  std::map<std::string, StoredComponent> described;
  for (const io::Component& part : checkpoint.components()) {
    if (part.weights == nullptr) continue;
    StoredComponent& component = described[part.name];
    component.class_name = part.class_name;
    for (const std::string& name : part.weights->names())
      if (const auto info = part.weights->find(name)) add_tensor(*info, component);
  }
  return described;
}

std::vector<std::string> missing_components(const io::Checkpoint& checkpoint,
                                            std::string_view optional) {
  std::vector<std::string> missing;
  for (const std::string_view name : io::kOverridableComponents)
    if (name != optional && checkpoint.lists(name) && checkpoint.find(name) == nullptr)
      missing.emplace_back(name);
  return missing;
}

}  // namespace sdrbee
