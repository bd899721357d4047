// What users give as a model though it is none.
#include <array>
#include <string_view>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_formats.h"

namespace sdrbee {
namespace {

/// A part of a tensor's name that only files of this kind have.
struct Marker {
  std::string_view part;
  std::string_view kind;
};

constexpr std::string_view kLora = "a LoRA, which changes a model and is none itself";
constexpr std::string_view kControl = "a ControlNet, which guides a model and is none itself";
constexpr std::string_view kEmbedding = "an embedding (textual inversion) and no model";
constexpr std::string_view kAdapter = "an IP-Adapter, which guides a model and is none itself";

constexpr std::array<Marker, 13> kMarkers = {{
    {".lora_A.", kLora},
    {".lora_B.", kLora},
    {".lora_down.", kLora},
    {".lora_up.", kLora},
    {".lora.down.", kLora},
    {".hada_w1_", kLora},
    {".lokr_w1", kLora},
    {"controlnet_cond_embedding.", kControl},
    {"control_model.", kControl},
    {"controlnet_blocks.", kControl},
    {"emb_params", kEmbedding},
    {"string_to_param", kEmbedding},
    {"ip_adapter.", kAdapter},
}};

std::optional<io::SingleFileParts> refuse(const std::shared_ptr<const io::WeightSource>& file,
                                          const std::map<std::string, std::string>& metadata) {
  for (const std::string& name : file->names())
    for (const auto& [part, kind] : kMarkers)
      if (name.find(part) != std::string::npos)
        throw UnsupportedModel(
            message("[", file->origin(name), "] this file is ", kind, " (tensor '", name, "')"));
  const auto architecture = metadata.find("general.architecture");
  const bool decoder = file->find("blk.0.attn_norm.weight") || file->find("blk.0.attn_q.weight");
  if (architecture != metadata.end() && decoder && file->find("token_embd.weight"))
    throw UnsupportedModel(message("[", file->origin(""), "] this file is a language model (",
                                   architecture->second, "), not a model that makes pictures"));
  return std::nullopt;
}

}  // namespace

const io::SingleFileFormat kOtherFiles = {"", &refuse};

}  // namespace sdrbee
