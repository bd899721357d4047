#include "sdrbee/io/checkpoint.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/component_override.h"
#include "sdrbee/io/diffusers_folder.h"
#include "sdrbee/io/file_hash.h"
#include "sdrbee/io/weight_file.h"

namespace sdrbee::io {
namespace {

namespace fs = std::filesystem;

/// Components of model_index.json that no picture needs.
constexpr std::array<std::string_view, 2> kUnusedComponents = {"safety_checker",
                                                               "feature_extractor"};

/// What the file calls itself, where it does.
std::string own_word(const std::map<std::string, std::string>& metadata) {
  for (const char* key : {kArchitectureKey, "modelspec.architecture"})
    if (const auto found = metadata.find(key); found != metadata.end())
      return message("; its metadata calls it '", found->second, "'");
  return "";
}

/// How to provide a component that a single file lacks.
std::string missing_hint(std::string_view name) {
  const bool overridable = std::find(kOverridableComponents.begin(), kOverridableComponents.end(),
                                     name) != kOverridableComponents.end();
  return overridable ? message("; give it as ", name, "=") : "";
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& path, std::span<const SingleFileFormat> models,
                            const std::string& variant) {
  return open(path, {.models = models, .components = {}, .variant = variant, .overrides = {}});
}

Checkpoint Checkpoint::open(const fs::path& path, const CheckpointOptions& options) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    throw CheckpointError(message("[", path.string(), "] expected a model folder, a .safetensors ",
                                  "or a .gguf file but there is nothing at this path"));
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  if (fs::is_directory(status))
    checkpoint.open_folder(options);
  else
    checkpoint.open_single_file(options);
  std::sort(checkpoint.files_.begin(), checkpoint.files_.end());
  for (const ComponentOverride& given : options.overrides) checkpoint.replace(given, options);
  return checkpoint;
}

void Checkpoint::open_folder(const CheckpointOptions& options) {
  layout_ = CheckpointLayout::DiffusersFolder;
  const fs::path index_path = path_ / "model_index.json";
  if (!fs::exists(index_path))
    throw CheckpointError(message(
        "[", path_.string(), "] expected a diffusers folder but it has no ", "model_index.json"));
  index_ = Config::read(index_path);
  files_.push_back(index_path);
  pipeline_class_ = index_.string_or("_class_name", "");
  for (const auto& [name, value] : index_.json().items()) {
    if (!value.is_array()) continue;
    if (value.size() != 2) index_.reject(name, "a library and a class");
    const bool absent = value[0].is_null() || value[1].is_null();
    if (absent || std::find(kUnusedComponents.begin(), kUnusedComponents.end(), name) !=
                      kUnusedComponents.end())
      continue;
    if (!is_plain_file_name(name))
      throw CheckpointError(message("[", index_path.string(), "] '", name,
                                    "': expected a component name without a folder"));
    const std::vector<std::string> kind = index_.strings_or(name, {});
    open_part({name, kind[0], kind[1]}, options);
  }
}

void Checkpoint::open_part(const ComponentKind& kind, const CheckpointOptions& options) {
  const fs::path folder = path_ / kind.name;
  const bool replaced = std::any_of(
      options.overrides.begin(), options.overrides.end(),
      [&](const ComponentOverride& given) { return name_in_model(given) == kind.name; });
  if (!replaced) {
    components_.push_back(open_component_folder(folder, kind, options.variant, files_));
  } else if (fs::exists(folder / "config.json")) {
    // Only what the tensors of the other one won't tell.
    untold_[kind.name] = Config::read(folder / "config.json").json();
  }
}

void Checkpoint::open_single_file(const CheckpointOptions& options) {
  layout_ = CheckpointLayout::SingleFile;
  const WeightFile file = open_weight_file(path_);
  files_ = file.files;
  std::string known;
  for (const SingleFileFormat& format : options.models) {
    if (auto parts = format.recognise(file.source, file.metadata)) {
      pipeline_class_ = std::move(parts->pipeline_class);
      index_ = std::move(parts->index);
      components_ = std::move(parts->components);
      untold_ = std::move(parts->untold);
      for (Component& part : components_)
        if (const auto untold = untold_.find(part.name); untold != untold_.end())
          part.config = merged_config(untold->second, part.config);
      return;
    }
    if (!format.id.empty()) known += (known.empty() ? "" : ", ") + std::string(format.id);
  }
  for (const ComponentFormat& format : options.components)
    if (format.recognise(file.source))
      throw UnsupportedModel(message("[", path_.string(), "] expected a model but this file holds ",
                                     format.id, " alone; give it as ", format.arguments,
                                     " beside a model"));
  throw UnsupportedModel(message("[", path_.string(), "] the tensors' names are of no model that ",
                                 "single files are known of (", known, ")",
                                 own_word(file.metadata)));
}

void Checkpoint::replace(const ComponentOverride& given, const CheckpointOptions& options) {
  OverrideSlot slot = {.kind = {name_in_model(given), "", ""}, .untold = Json::object()};
  const std::string& name = slot.kind.name;
  const std::vector<std::string> kind = index_.strings_or(name, {"", ""});
  if (kind.size() == 2) slot.kind = {name, kind[0], kind[1]};
  const auto present = std::find_if(components_.begin(), components_.end(),
                                    [&](const Component& part) { return part.name == name; });
  if (const auto untold = untold_.find(name); untold != untold_.end()) slot.untold = untold->second;
  if (present != components_.end()) slot.untold = present->config.json();

  for (const auto& [key, value] : index_.json().items())
    if (value.is_array() && value.size() == 2 && value[1].is_string())
      slot.model.push_back({key, "", value[1].get<std::string>()});

  replaced_[name] = Config(slot.untold);
  OpenedOverride opened = open_override(given.path, slot, options);
  if (present != components_.end())
    *present = std::move(opened.component);
  else
    components_.push_back(std::move(opened.component));
  std::sort(opened.files.begin(), opened.files.end());
  for (const fs::path& file : opened.files) {
    files_.push_back(file);
    override_files_[file] = message(name, "=", file.filename().string());
  }
  overrides_.push_back(given);
}

std::string Checkpoint::name_in_model(const ComponentOverride& given) const {
  const auto known =
      std::find(kOverridableComponents.begin(), kOverridableComponents.end(), given.name);
  if (is_denoiser_name(given.name)) {
    for (const std::string_view name : kDenoiserNames)
      if (index_.json().contains(name)) return std::string(name);
  } else if (known != kOverridableComponents.end() && index_.json().contains(given.name)) {
    return given.name;
  }
  std::string listed;
  for (const auto& [name, value] : index_.json().items())
    if (value.is_array()) listed += (listed.empty() ? "" : ", ") + name;
  throw InvalidRequest(message("[", given.name, "] this ", pipeline_class_, " has no such ",
                               "component; it has: ", listed));
}

const Component* Checkpoint::find(std::string_view name) const {
  const auto found = std::find_if(components_.begin(), components_.end(),
                                  [&](const Component& part) { return part.name == name; });
  return found == components_.end() ? nullptr : &*found;
}

const Config* Checkpoint::replaced(std::string_view name) const {
  const auto found = replaced_.find(name);
  return found == replaced_.end() ? nullptr : &found->second;
}

bool Checkpoint::lists(std::string_view name) const {
  const auto found = index_.json().find(name);
  return find(name) != nullptr || (found != index_.json().end() && found->is_array() &&
                                   found->size() == 2 && !found->front().is_null());
}

const Component& Checkpoint::component(std::string_view name) const {
  if (const Component* found = find(name)) return *found;
  std::string present;
  for (const Component& part : components_) present += (present.empty() ? "" : ", ") + part.name;
  throw CheckpointError(message("[", path_.string(), "] expected a component '", name,
                                "' but the model has: ", present, missing_hint(name)));
}

const Component& Checkpoint::component(std::string_view name, std::string_view class_name) const {
  const Component& found = component(name);
  if (found.class_name != class_name)
    throw CheckpointError(message("[", path_.string(), "] component '", name, "': expected class ",
                                  class_name, " but got ", found.class_name));
  return found;
}

std::string Checkpoint::sha256() const {
  Sha256 hash;
  for (const fs::path& path : files_) {
    // Lengths keep names and contents apart, so that no two models give the same stream.
    const std::string name = hashed_name(path);
    if (!name.empty()) hash.update(message(name.size(), ":", name, fs::file_size(path), ":"));
    if (fs::file_size(path) > 0) add_content(hash, *MappedFile::open(path));
  }
  return hash.hexadecimal();
}

/// Independent of where the model lies, and empty for a single file.
std::string Checkpoint::hashed_name(const fs::path& file) const {
  if (const auto found = override_files_.find(file); found != override_files_.end())
    return found->second;
  if (layout_ == CheckpointLayout::SingleFile) return "";
  return file.lexically_relative(path_).generic_string();
}

}  // namespace sdrbee::io
