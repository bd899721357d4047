#include "sdrbee/models/common/convert_model.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/component_override.h"
#include "sdrbee/io/gguf.h"
#include "sdrbee/io/weight_file.h"
#include "sdrbee/models/common/component_formats.h"
#include "sdrbee/models/registry.h"

namespace sdrbee {
namespace {

namespace fs = std::filesystem;

/// What readers of GGUF call the networks: https://github.com/city96/ComfyUI-GGUF (`IMG_ARCH_LIST`)
struct ArchitectureRow {
  std::string_view pipeline;  // how its name starts, where that tells networks of one class apart
  std::string_view class_name;
  std::string_view architecture;
};

constexpr std::array<ArchitectureRow, 7> kArchitectures = {{
    {"StableDiffusionXL", "UNet2DConditionModel", "sdxl"},
    {"", "UNet2DConditionModel", "sd1"},
    {"", "SD3Transformer2DModel", "sd3"},
    {"", "FluxTransformer2DModel", "flux"},
    {"", "T5EncoderModel", "t5encoder"},
    {"", "CLIPTextModel", "clip"},
    {"", "CLIPTextModelWithProjection", "clip"},
}};

constexpr const char* kQuantisationVersionKey = "general.quantization_version";
constexpr uint32_t kQuantisationVersion = 2;  // GGML_QNT_VERSION

std::string architecture_of(std::string_view pipeline, std::string_view class_name) {
  for (const ArchitectureRow& row : kArchitectures)
    if (row.class_name == class_name && pipeline.starts_with(row.pipeline))
      return std::string(row.architecture);
  return std::string(class_name);
}

/// The architecture of a file's denoiser, or of the component that it holds.
std::string architecture_of(const io::WeightFile& file) {
  for (const io::SingleFileFormat& format : Registry::single_file_formats())
    if (const auto parts = format.recognise(file.source, file.metadata))
      return architecture_of(parts->pipeline_class, parts->components.front().class_name);
  for (const io::ComponentFormat& format : component_formats())
    if (const auto alone = format.recognise(file.source))
      return architecture_of("", alone->component.class_name);
  throw UnsupportedModel(message("[", file.source->origin(""), "] the tensors' names are of no ",
                                 "model or component that files are known of"));
}

/// A source with what goes into headers.
struct OpenedSource {
  std::shared_ptr<const io::WeightSource> weights;
  std::string architecture;
  std::vector<fs::path> files;
  std::map<std::string, std::string> metadata;
  io::GgufMetadata gguf_metadata;
};

OpenedSource open_folder(const fs::path& path) {
  if (fs::exists(path / "model_index.json"))
    throw InvalidRequest(message("[", path.string(), "] expected a file or a component's folder ",
                                 "for a target that is one file, but this is a whole model; give ",
                                 "a folder as target or one component's folder as source"));
  const io::OverrideSlot any = {.kind = {"component", "", ""}, .untold = io::Json::object()};
  io::OpenedOverride opened = io::open_override(path, any, {});
  return {.weights = opened.component.weights,
          .architecture = architecture_of("", opened.component.class_name),
          .files = std::move(opened.files),
          .metadata = {},
          .gguf_metadata = {}};
}

OpenedSource open_file(const fs::path& path) {
  io::WeightFile file = io::open_weight_file(path);
  OpenedSource source = {.weights = file.source,
                         .architecture = architecture_of(file),
                         .files = file.files,
                         .metadata = std::move(file.metadata),
                         .gguf_metadata = {}};
  if (const auto gguf = std::dynamic_pointer_cast<const io::GgufFile>(file.source))
    source.gguf_metadata = gguf->metadata();
  return source;
}

void refuse_own_file(const OpenedSource& source, const fs::path& target) {
  for (const fs::path& file : source.files)
    if (std::error_code error; fs::equivalent(file, target, error))
      throw InvalidRequest(message("[target] ", target.string(), " is the file to convert"));
}

}  // namespace

io::ConversionReport convert_model(const fs::path& path, const fs::path& target,
                                   const std::string& type, const std::vector<io::TypeRule>& rules,
                                   const std::function<void(int64_t, int64_t)>& observe) {
  OpenedSource source = fs::is_directory(path) ? open_folder(path) : open_file(path);
  refuse_own_file(source, target);
  io::GgufMetadata gguf = std::move(source.gguf_metadata);
  for (const auto& [key, text] : source.metadata) gguf.try_emplace(key, text);
  gguf.try_emplace(io::kArchitectureKey, source.architecture);
  gguf.insert_or_assign(kQuantisationVersionKey, kQuantisationVersion);
  return io::convert_weights(*source.weights,
                             {.target = target,
                              .type = type,
                              .rules = rules,
                              .gguf_metadata = std::move(gguf),
                              .metadata = std::move(source.metadata)},
                             observe);
}

}  // namespace sdrbee
