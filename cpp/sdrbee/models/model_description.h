// What the headers of a model's files tell.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/models/model_info.h"

namespace sdrbee {

/// A component's weights as they are stored.
struct StoredComponent {
  std::string class_name;                // "UNet2DConditionModel"
  int64_t parameters = 0;                // values of all tensors
  int64_t bytes = 0;                     // that they take in the files
  std::map<std::string, int64_t> types;  // values of each number format: "fp16", "Q4_0", ...
  bool operator==(const StoredComponent&) const = default;
};

/// A model that was not loaded.
struct ModelDescription {
  std::string family;          // row of the registry
  std::string pipeline_class;  // as in model_index.json
  /// Nothing while components are missing, which tell a part of it.
  std::optional<ModelInfo> info;
  std::map<std::string, StoredComponent> components;  // those with weights
  /// What a file needs beside it, as arguments of `load` are called.
  std::vector<std::string> missing;
};

/// The components with weights, counted from headers.
std::map<std::string, StoredComponent> describe_components(const io::Checkpoint& checkpoint);

/// The components with weights that the model lists and lacks, without those named in `optional`.
std::vector<std::string> missing_components(const io::Checkpoint& checkpoint,
                                            std::string_view optional);

}  // namespace sdrbee
