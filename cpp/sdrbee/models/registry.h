// The table of model families and the one way to load a model.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "sdrbee/core/device.h"
#include "sdrbee/io/checkpoint.h"
#include "sdrbee/models/adapters.h"
#include "sdrbee/models/image_model.h"
#include "sdrbee/models/model_description.h"
#include "sdrbee/models/plugin_model.h"
#include "sdrbee/models/prompt_cache.h"
#include "sdrbee/models/weight_memory.h"

namespace sdrbee {

/// How to load a model.
struct LoadOptions {
  Device device{c10::DeviceType::CPU};
  Dtype dtype = Dtype::Float;
  /// Id or alias of a row of the family's variants, where the files can't tell; empty: what they
  /// tell.
  std::string variant;
  /// What the network predicts, a name of sampling/prediction.h; empty: what the files tell.
  std::string prediction;
  /// Components from other places.
  std::vector<io::ComponentOverride> components;
  /// Where to look for a tokenizer vocabulary when the checkpoint carries none, in order.
  std::vector<std::filesystem::path> vocabulary_candidates;
  /// What the weights may take, see WeightMemory; empty: all stay in memory once they are there.
  std::optional<int64_t> memory_limit_bytes;
  int64_t prompt_cache_bytes = PromptCache::kDefaultBytes;
  /// What the components of the model share; Registry::load makes them.
  std::shared_ptr<WeightMemory> memory;
  std::shared_ptr<PromptCache> prompt_cache;
  std::shared_ptr<Adapters> adapters;
};

/// One variant of a family: `sdrbee list --families` prints these.
struct VariantRow {
  std::string_view id;
  std::string_view description;
  /// Other names, separated by spaces: of other programs' options, and what checkpoints call
  /// themselves (metadata `modelspec.architecture`).
  std::string_view aliases = {};

  /// Whether `name` is the id or an alias, in upper or lower case.
  bool is_called(std::string_view name) const;
};

/// One row per model family.
struct FamilyRow {
  std::string_view id;
  std::string_view description;
  std::span<const VariantRow> variants;
  /// Whether this family runs the checkpoint.
  bool (*recognises)(const io::Checkpoint&);
  /// The info of the model that `load` makes, from configurations and headers alone.
  ModelInfo (*describe)(const io::Checkpoint&, const LoadOptions&);
  std::unique_ptr<ImageModel> (*load)(Sealed, const io::Checkpoint&, const LoadOptions&);
  /// A component that models of the family may lack.
  std::string_view optional_component = {};
};

/// The families of this build.
class Registry {
 public:
  static std::span<const FamilyRow> families();

  /// How single files of the families are recognised; the first row refuses what is no model.
  static std::span<const io::SingleFileFormat> single_file_formats();

  /// Describes what `load` would load, from configurations and headers alone: no weights are read
  /// and no network is built. Throws as `load` does, but for weights that don't fit the network.
  static ModelDescription describe(const std::filesystem::path& path, const LoadOptions& options);

  /// Opens and loads a diffusers folder or a single-file checkpoint, with the components that the
  /// options take from other places.
  /// Throws CheckpointError (missing or damaged files), UnsupportedModel (no family knows it) or
  /// InvalidRequest (no such variant or prediction, a variant that the network can't be, or a
  /// memory limit that a component does not fit into).
  static std::unique_ptr<ImageModel> load(const std::filesystem::path& path,
                                          const LoadOptions& options);

  /// A model from outside of this library behind the sealed interface.
  static std::unique_ptr<ImageModel> adopt(std::unique_ptr<PluginModel> plugin);
};

}  // namespace sdrbee
