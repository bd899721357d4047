#include "sdrbee/models/registry.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/adopt_plugin.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/common/ldm_single_file.h"
#include "sdrbee/models/flux/flux.h"
#include "sdrbee/models/flux/single_file.h"
#include "sdrbee/models/flux2/flux2.h"
#include "sdrbee/models/flux2/single_file.h"
#include "sdrbee/models/sd3/sd3.h"
#include "sdrbee/models/sd3/single_file.h"
#include "sdrbee/models/sdxl/sdxl.h"
#include "sdrbee/models/stable_diffusion/stable_diffusion.h"
#include "sdrbee/models/z_image/single_file.h"
#include "sdrbee/models/z_image/z_image.h"
#include "sdrbee/sampling/prediction.h"

namespace sdrbee {
namespace {

// The one list of families: a new family is one include above and one row here.
const std::array kFamilies = {
    FamilyRow{"stable_diffusion", "Stable Diffusion 1.x and 2.x: UNet, one CLIP text encoder",
              stable_diffusion::variants(), stable_diffusion::recognises,
              stable_diffusion::describe, stable_diffusion::load},
    FamilyRow{"sdxl", "Stable Diffusion XL: UNet, two CLIP text encoders, size conditioning",
              sdxl::variants(), sdxl::recognises, sdxl::describe, sdxl::load},
    FamilyRow{"sd3", "Stable Diffusion 3 and 3.5: MMDiT, two CLIP text encoders and T5",
              sd3::variants(), sd3::recognises, sd3::describe, sd3::load, "text_encoder_3"},
    FamilyRow{"flux", "FLUX.1: transformer, CLIP and T5 text encoders, rectified flow",
              flux::variants(), flux::recognises, flux::describe, flux::load},
    FamilyRow{"flux2", "FLUX.2 klein: transformer, Qwen3 text encoder, references as tokens",
              flux2::variants(), flux2::recognises, flux2::describe, flux2::load},
    FamilyRow{"z_image", "Z-Image: transformer over one sequence, Qwen3 text encoder",
              z_image::variants(), z_image::recognises, z_image::describe, z_image::load},
};

// Other files come first: some hold tensors of the names that models are known by.
const std::array kSingleFiles = {kOtherFiles,
                                 ldm::kSingleFileFormat,
                                 sd3::kSingleFileFormat,
                                 flux2::kSingleFileFormat,
                                 flux::kSingleFileFormat,
                                 z_image::kSingleFileFormat};

std::string known_pipelines() {
  std::string listed;
  for (const FamilyRow& family : kFamilies)
    listed += message("\n  ", family.id, ": ", family.description);
  return listed;
}

/// The id of the family's variant of that name.
std::string resolve_variant(const FamilyRow& family, const std::string& name) {
  std::string listed;
  for (const VariantRow& row : family.variants) {
    if (row.is_called(name)) return std::string(row.id);
    listed += message(listed.empty() ? "'" : ", '", row.id, "'");
  }
  throw InvalidRequest(message("[variant] expected one of ", listed, " for a model of the family ",
                               family.id, " but got '", name, "'"));
}

bool equal_ignoring_case(std::string_view one, std::string_view other) {
  return std::ranges::equal(one, other, [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  });
}

/// A checkpoint, the row that runs it, and the options as that row understands them.
struct Opened {
  io::Checkpoint checkpoint;
  const FamilyRow* family;
  LoadOptions options;
};

Opened open(const std::filesystem::path& path, const LoadOptions& options) {
  LoadOptions checked = options;
  if (!options.prediction.empty())
    checked.prediction = sampling::prediction_name(sampling::parse_prediction(options.prediction));
  io::Checkpoint checkpoint = io::Checkpoint::open(path, {.models = kSingleFiles,
                                                          .components = component_formats(),
                                                          .variant = {},
                                                          .overrides = options.components});
  for (const FamilyRow& family : kFamilies) {
    if (!family.recognises(checkpoint)) continue;
    if (!options.variant.empty()) checked.variant = resolve_variant(family, options.variant);
    return {std::move(checkpoint), &family, std::move(checked)};
  }
  throw UnsupportedModel(message("[", path.string(), "] no family runs a '",
                                 checkpoint.pipeline_class(),
                                 "'; this build has:", known_pipelines()));
}

}  // namespace

bool VariantRow::is_called(std::string_view name) const {
  if (equal_ignoring_case(name, id)) return true;
  for (std::string_view rest = aliases; !rest.empty();) {
    const size_t end = std::min(rest.find(' '), rest.size());
    if (equal_ignoring_case(name, rest.substr(0, end))) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

std::span<const FamilyRow> Registry::families() { return kFamilies; }
std::span<const io::SingleFileFormat> Registry::single_file_formats() { return kSingleFiles; }

ModelDescription Registry::describe(const std::filesystem::path& path, const LoadOptions& options) {
  const Opened opened = open(path, options);
  ModelDescription description = {
      .family = std::string(opened.family->id),
      .pipeline_class = opened.checkpoint.pipeline_class(),
      .info = std::nullopt,
      .components = describe_components(opened.checkpoint),
      .missing = missing_components(opened.checkpoint, opened.family->optional_component)};
  if (description.missing.empty())
    description.info = opened.family->describe(opened.checkpoint, opened.options);
  return description;
}

std::unique_ptr<ImageModel> Registry::load(const std::filesystem::path& path,
                                           const LoadOptions& options) {
  Opened opened = open(path, options);
  opened.options.memory = std::make_shared<WeightMemory>(options.memory_limit_bytes);
  opened.options.prompt_cache = std::make_shared<PromptCache>(options.prompt_cache_bytes);
  opened.options.adapters = std::make_shared<Adapters>();
  return opened.family->load(Sealed(), opened.checkpoint, opened.options);
}

std::unique_ptr<ImageModel> Registry::adopt(std::unique_ptr<PluginModel> plugin) {
  return adopt_plugin(Sealed(), std::move(plugin));
}

}  // namespace sdrbee
