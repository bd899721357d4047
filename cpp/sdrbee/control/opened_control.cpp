#include "sdrbee/control/opened_control.h"

#include <algorithm>
#include <array>

#include "sdrbee/control/open_adapter.h"
#include "sdrbee/control/open_control.h"
#include "sdrbee/control/open_ip_adapter.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/diffusers_folder.h"
#include "sdrbee/io/file_hash.h"
#include "sdrbee/io/weight_file.h"

namespace sdrbee::control {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnetModels = "Stable Diffusion 1.x, 2.x or XL";

// What a union ControlNet has for each of its types, beside XL and beside FLUX.1.
constexpr std::array kTypeTables = {"task_embedding", "controlnet_mode_embedder.weight"};

bool is_sd3_controlnet(const io::WeightSource& weights) {
  return weights.find("pos_embed_input.proj.weight").has_value();
}

/// Under the names of diffusers, or those of https://github.com/XLabs-AI/x-flux
bool is_flux_controlnet(const io::WeightSource& weights) {
  return weights.find("controlnet_x_embedder.weight") ||
         (weights.find("pos_embed_input.weight") &&
          weights.find("double_blocks.0.img_mod.lin.weight"));
}

/// A kind of control networks: its class, whose models it is for, and whether the tensors of a lone
/// file are those of one (null: folders alone tell).
struct Kind {
  std::string_view class_name;
  std::string_view models;
  bool (*recognises)(const io::WeightSource& weights);
};
constexpr std::array<Kind, 6> kKinds = {{
    {kIpAdapterClass, kUnetModels, &is_ip_adapter},
    {kAdapterClass, kUnetModels, &is_t2i_adapter},
    {kFluxClass, "FLUX.1", &is_flux_controlnet},
    {kSd3Class, "Stable Diffusion 3 and 3.5", &is_sd3_controlnet},
    {kControlNetClass, kUnetModels, &is_unet_controlnet},
    {kUnionClass, kUnetModels, nullptr},
}};

/// The file of an adapter with its picture encoder in one folder; else the path itself.
fs::path adapter_file(const fs::path& path) {
  if (!fs::is_directory(path) || fs::exists(path / "config.json")) return path;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  return files.size() == 1 ? files.front() : path;
}

OpenedControl open_lone_file(const fs::path& path) {
  io::WeightFile file = io::open_weight_file(path);
  const auto kind = std::ranges::find_if(kKinds, [&](const Kind& one) {
    return one.recognises != nullptr && one.recognises(*file.source);
  });
  if (kind == kKinds.end())
    throw UnsupportedModel(message(
        "[", file.source->origin(""), "] expected a ControlNet, a T2I-Adapter or an IP-Adapter ",
        "but the names of this file's tensors are of none; if it is one, take its folder in the ",
        "layout of diffusers"));
  OpenedControl opened;
  opened.files = std::move(file.files);
  opened.lone_file = true;
  opened.component.name = message("control ", path.filename().string());
  opened.component.library = "diffusers";
  opened.component.class_name = kind->class_name;
  opened.component.weights = std::move(file.source);
  return opened;
}

OpenedControl open_folder(const fs::path& path) {
  OpenedControl opened;
  const std::string name = fs::weakly_canonical(path).filename().string();
  opened.component = io::open_component_folder(
      path, {message("control ", name), "diffusers", kControlNetClass}, "", opened.files);
  std::string& class_name = opened.component.class_name;
  class_name = opened.component.config.string_or("_class_name", kControlNetClass);
  if (std::ranges::none_of(kKinds, [&](const Kind& one) { return one.class_name == class_name; }))
    throw UnsupportedModel(message("[", opened.component.config.origin(), "] expected a ",
                                   kControlNetClass, " or a ", kAdapterClass, " but got a ",
                                   class_name));
  return opened;
}

}  // namespace

OpenedControl open_control(const std::string& path) {
  if (!fs::exists(path))
    throw CheckpointError(message("[controls] expected a ControlNet's folder or file but there ",
                                  "is nothing at '", path, "'"));
  const fs::path found = adapter_file(path);
  OpenedControl opened = fs::is_directory(found) ? open_folder(found) : open_lone_file(found);
  opened.path = found;
  return opened;
}

bool follows_types(const std::string& path) {
  const OpenedControl opened = open_control(path);
  return std::ranges::any_of(kTypeTables, [&](const char* name) {
    return opened.component.weights->find(name).has_value();
  });
}

void require_class(const OpenedControl& opened, std::initializer_list<std::string_view> classes,
                   std::string_view models) {
  const std::string& got = opened.component.class_name;
  if (std::ranges::find(classes, got) != classes.end()) return;
  const auto kind =
      std::ranges::find_if(kKinds, [&](const Kind& one) { return one.class_name == got; });
  throw InvalidRequest(message("[controls] expected a control network for ", models, " but '",
                               opened.path.string(), "' is a ", got, ", which is for ",
                               kind->models));
}

const std::string& ControlFromFiles::sha256() {
  if (sha256_.empty()) sha256_ = io::sha256_of_files(files_);
  return sha256_;
}

}  // namespace sdrbee::control
