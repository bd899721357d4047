#include "sdrbee/io/component_override.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/weight_file.h"

namespace sdrbee::io {
namespace {

namespace fs = std::filesystem;

/// Where a component of that class belongs.
std::string right_place(const std::string& class_name, const OverrideSlot& slot) {
  std::string places;
  for (const ComponentKind& kind : slot.model)
    if (are_same_network(kind.class_name, class_name))
      places += message(places.empty() ? "" : " or ",
                        is_denoiser_name(kind.name) ? kDenoiserNames.front() : kind.name, "=");
  if (places.empty()) return ", which this model has no place for: it is of another family";
  return "; give it as " + places;
}

/// The component in the slot's name and class, when it is of that class.
Component fitted(Component component, const fs::path& path, const OverrideSlot& slot) {
  const ComponentKind& kind = slot.kind;
  if (!kind.class_name.empty() && !are_same_network(kind.class_name, component.class_name))
    throw CheckpointError(message(
        "[", path.string(), "] as ", kind.name, " of this model: ", "expected a ", kind.class_name,
        " but this is a ", component.class_name, right_place(component.class_name, slot)));
  component.name = kind.name;
  if (!kind.class_name.empty()) component.class_name = kind.class_name;
  return component;
}

/// The name of the component in another model; two denoisers may be called differently.
template <typename Names>
std::optional<std::string> counterpart(const std::string& name, const Names& names) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const std::string& other) {
    return other == name || (is_denoiser_name(name) && is_denoiser_name(other));
  });
  if (found == names.end()) return std::nullopt;
  return *found;
}

template <typename Names>
[[noreturn]] void fail_missing(const fs::path& path, const std::string& name, const Names& names) {
  std::string listed;
  for (const std::string& other : names) listed += (listed.empty() ? "" : ", ") + other;
  throw CheckpointError(message("[", path.string(), "] expected a component '", name,
                                "' but there are only: ", listed));
}

OpenedOverride from_model_folder(const fs::path& path, const OverrideSlot& slot,
                                 const std::string& variant) {
  const Config index = Config::read(path / "model_index.json");
  std::vector<std::string> names;
  for (const auto& [name, value] : index.json().items())
    if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string() &&
        is_plain_file_name(name))
      names.push_back(name);
  const auto name = counterpart(slot.kind.name, names);
  if (!name) fail_missing(path, slot.kind.name, names);
  const std::vector<std::string> kind = index.strings_or(*name, {});
  OpenedOverride opened;
  opened.component =
      open_component_folder(path / *name, {*name, kind[0], kind[1]}, variant, opened.files);
  return opened;
}

OpenedOverride from_component_folder(const fs::path& path, const OverrideSlot& slot,
                                     const std::string& variant) {
  const Config config = Config::read(path / "config.json");
  const std::vector<std::string> architectures = config.strings_or("architectures", {});
  const bool transformers = !architectures.empty();
  const std::string class_name =
      transformers ? architectures.front() : config.string_or("_class_name", "");
  if (class_name.empty()) config.reject("_class_name", "the class of the component");
  const ComponentKind kind = {slot.kind.name, transformers ? "transformers" : "diffusers",
                              class_name};
  OpenedOverride opened;
  opened.component = open_component_folder(path, kind, variant, opened.files);
  return opened;
}

OpenedOverride from_folder(const fs::path& path, const OverrideSlot& slot,
                           const std::string& variant) {
  if (fs::exists(path / "model_index.json")) return from_model_folder(path, slot, variant);
  if (fs::exists(path / "config.json")) return from_component_folder(path, slot, variant);
  throw CheckpointError(message("[", path.string(), "] expected a model's folder with ",
                                "model_index.json or a component's folder with config.json but ",
                                "it has neither"));
}

/// The component out of a file that holds a model, or its denoiser.
std::optional<Component> from_model_file(const SingleFileParts& parts, const OverrideSlot& slot) {
  for (const Component& part : parts.components) {
    const bool same_name = part.name == slot.kind.name ||
                           (is_denoiser_name(part.name) && is_denoiser_name(slot.kind.name));
    if (!same_name || part.weights == nullptr) continue;
    Json untold = slot.untold;
    if (const auto own = parts.untold.find(part.name); own != parts.untold.end())
      untold = merged_config(own->second, Config(untold)).json();
    Component component = part;
    component.config = merged_config(std::move(untold), part.config);
    return component;
  }
  return std::nullopt;
}

OpenedOverride from_file(const fs::path& path, const OverrideSlot& slot,
                         const CheckpointOptions& options) {
  WeightFile file = open_weight_file(path);
  std::vector<std::string> present;
  for (const SingleFileFormat& format : options.models) {
    const auto parts = format.recognise(file.source, file.metadata);
    if (!parts) continue;
    if (auto found = from_model_file(*parts, slot))
      return {fitted(*std::move(found), path, slot), std::move(file.files)};
    for (const Component& part : parts->components)
      if (part.weights) present.push_back(part.name);
  }
  if (!present.empty()) fail_missing(path, slot.kind.name, present);
  for (const ComponentFormat& format : options.components) {
    auto alone = format.recognise(file.source);
    if (!alone) continue;
    Component component = fitted(std::move(alone->component), path, slot);
    Json untold = merged_config(std::move(alone->untold), Config(slot.untold)).json();
    component.config = merged_config(std::move(untold), component.config);
    return {std::move(component), std::move(file.files)};
  }
  throw UnsupportedModel(message("[", path.string(), "] the tensors' names are of no ",
                                 slot.kind.name, " that files are known of"));
}

}  // namespace

bool is_denoiser_name(std::string_view name) {
  return std::find(kDenoiserNames.begin(), kDenoiserNames.end(), name) != kDenoiserNames.end();
}

Config merged_config(Json base, const Config& over) {
  base.update(over.json());
  return Config(std::move(base), over.origin());
}

OpenedOverride open_override(const fs::path& path, const OverrideSlot& slot,
                             const CheckpointOptions& options) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    throw CheckpointError(message("[", slot.kind.name, "] expected a folder or file but there is ",
                                  "nothing at ", path.string()));
  if (!fs::is_directory(status)) return from_file(path, slot, options);
  OpenedOverride opened = from_folder(path, slot, options.variant);
  opened.component = fitted(std::move(opened.component), path, slot);
  return opened;
}

}  // namespace sdrbee::io
