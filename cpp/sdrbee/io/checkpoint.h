// A model on disk, a diffusers folder or a single file, as named components.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// One part of a model, named as in model_index.json: "unet", "vae", "text_encoder",
/// "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler".
struct Component {
  std::string name;
  std::string library;     // "diffusers" or "transformers"
  std::string class_name;  // "UNet2DConditionModel"; a single file gives the same names
  Config config;           // config.json or scheduler_config.json; empty for tokenizers
  /// Names as diffusers and transformers have them; text encoders are without the "text_model."
  /// prefix. Null for a component without weights (scheduler, tokenizer).
  std::shared_ptr<const WeightSource> weights;
  /// The component's folder; empty when the model is a single file.
  std::filesystem::path folder;
};

/// The key of a file's metadata under which GGUF files say what they hold.
inline constexpr const char* kArchitectureKey = "general.architecture";

/// What model_index.json says of a component.
struct ComponentKind {
  std::string name;
  std::string library;
  std::string class_name;
};

/// The parts of a single file, as a folder of the same model would have them.
struct SingleFileParts {
  std::string pipeline_class;
  /// As model_index.json: components that the model needs but the file lacks are listed, too.
  Config index;
  std::vector<Component> components;
  /// What no tensor tells of components, by name: the scaling factor of the autoencoder, ...
  std::map<std::string, Json> untold;
};

/// How one kind of single file is recognised; model families bring theirs in as data.
struct SingleFileFormat {
  std::string_view id;
  /// The parts, or nothing when the file is of another kind. Throws UnsupportedModel for a kind
  /// that it knows but that sdrbee doesn't run.
  std::optional<SingleFileParts> (*recognise)(const std::shared_ptr<const WeightSource>& file,
                                              const std::map<std::string, std::string>& metadata);
};

/// A file that holds one component alone. The name is the one that it usually has, and the
/// configuration holds what the tensors tell.
struct LoneComponent {
  Component component;
  /// What they don't tell, as the best known model has it.
  Json untold;
};

/// How a file with one component is recognised; model families bring theirs in as data.
struct ComponentFormat {
  std::string_view id;
  /// The arguments that take such a component, for messages: "vae=".
  std::string_view arguments;
  std::optional<LoneComponent> (*recognise)(const std::shared_ptr<const WeightSource>& file);
};

/// A component that comes from another place than its model.
struct ComponentOverride {
  /// One of kOverridableComponents.
  std::string name;
  /// A component's folder, a model's folder (its component is taken), or a file.
  std::filesystem::path path;
};

/// What may be overridden; the first is the denoiser, whatever a model calls it.
inline constexpr std::array<std::string_view, 5> kOverridableComponents = {
    "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"};

/// How to open a model.
struct CheckpointOptions {
  std::span<const SingleFileFormat> models;
  std::span<const ComponentFormat> components;
  /// Asks for the files of that variant ("fp16") of a folder; by default the plain ones are taken
  /// and, where there are none, those of fp16.
  std::string variant;
  std::vector<ComponentOverride> overrides;
};

/// What a model was stored as.
enum class CheckpointLayout { DiffusersFolder, SingleFile };

/// A model opened from disk. Opening reads headers and configurations only; weights stay in the
/// mapped files until they are read. Nothing is ever downloaded.
class Checkpoint {
 public:
  /// Opens a diffusers folder (with model_index.json) or a single file (.safetensors, GGUF, or the
  /// index of shards) of one of `options.models`, and puts the overrides in the place of its own
  /// components. safety_checker and feature_extractor are passed over. A single file may lack
  /// components: whoever asks for them is told so.
  ///
  /// Throws CheckpointError naming the culprit: missing path, folder without model_index.json,
  /// missing component folder, configuration or shard, damaged file, an override of another class.
  /// Throws UnsupportedModel for pickle files (with the conversion) and for a single file that no
  /// format recognises, and InvalidRequest for an override that the model has no place for.
  static Checkpoint open(const std::filesystem::path& path, const CheckpointOptions& options);

  /// The same without overrides.
  static Checkpoint open(const std::filesystem::path& path,
                         std::span<const SingleFileFormat> models = {},
                         const std::string& variant = "");

  /// The component, or nullptr when the model has none of that name.
  const Component* find(std::string_view name) const;

  /// Whether the model has a component of that name, or needs one that its single file lacks.
  bool lists(std::string_view name) const;

  /// The component. Throws CheckpointError naming the model and the components that it has.
  const Component& component(std::string_view name) const;

  /// The component, when it is of that class.
  /// Throws CheckpointError naming the model, the component and both classes.
  const Component& component(std::string_view name, std::string_view class_name) const;

  const std::vector<Component>& components() const { return components_; }
  const std::filesystem::path& path() const { return path_; }
  CheckpointLayout layout() const { return layout_; }

  /// `_class_name` of model_index.json: "StableDiffusionPipeline". A single file gives the class
  /// that diffusers would choose.
  const std::string& pipeline_class() const { return pipeline_class_; }

  /// model_index.json itself (flags such as force_zeros_for_empty_prompt); built in for a single
  /// file.
  const Config& index() const { return index_; }

  /// The files that make the model what it is: weights, configurations, vocabularies; its own ones,
  /// sorted, then those of the overrides.
  const std::vector<std::filesystem::path>& files() const { return files_; }

  /// The configuration of the model's own component of that name where another one has its place:
  /// all of it, or what no tensor tells. Null otherwise.
  const Config* replaced(std::string_view name) const;

  /// The components that came from other places.
  const std::vector<ComponentOverride>& overrides() const { return overrides_; }

  /// SHA-256 in hexadecimal over names and contents of files(), computed anew at each call.
  std::string sha256() const;

 private:
  void open_folder(const CheckpointOptions& options);
  void open_part(const ComponentKind& kind, const CheckpointOptions& options);
  void open_single_file(const CheckpointOptions& options);
  void replace(const ComponentOverride& given, const CheckpointOptions& options);
  std::string name_in_model(const ComponentOverride& given) const;
  std::string hashed_name(const std::filesystem::path& file) const;

  std::filesystem::path path_;
  CheckpointLayout layout_ = CheckpointLayout::DiffusersFolder;
  std::string pipeline_class_;
  Config index_;
  std::vector<Component> components_;
  std::vector<std::filesystem::path> files_;
  std::map<std::string, Json> untold_;
  std::map<std::string, Config, std::less<>> replaced_;
  std::vector<ComponentOverride> overrides_;
  std::map<std::filesystem::path, std::string> override_files_;  // by their names in the hash
};

}  // namespace sdrbee::io
