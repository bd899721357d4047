// What users give as a model though it is none.
#include <algorithm>
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
constexpr std::string_view kT2iAdapter = "a T2I-Adapter, which guides a model and is none itself";

constexpr Marker kMarkers[] = {
    {".lora_A.", kLora},
    {".lora_B.", kLora},
    {".lora_down.", kLora},
    {".lora_up.", kLora},
    {".lora.down.", kLora},
    {"_lora.down.", kLora},
    {"lora_unet_", kLora},
    {"lora_te", kLora},
    {".dora_scale", kLora},
    {".hada_w1_", kLora},
    {".hada_w2_", kLora},
    {".lokr_w1", kLora},
    {".lokr_w2", kLora},
    {"controlnet_cond_embedding.", kControl},
    {"control_model.", kControl},
    {"controlnet_blocks.", kControl},
    {"lllite_", kControl},
    {"emb_params", kEmbedding},
    {"string_to_param", kEmbedding},
    {"ip_adapter.", kAdapter},
    {"adapter.body.", kT2iAdapter},
};

// Tables that models for pictures don't have, at the start of a name in GGUF.
// https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py
constexpr std::array<std::string_view, 2> kLanguageModel = {"blk.", "token_embd."};
constexpr std::array<std::string_view, 3> kVisionPart = {"v.blk.", "v.patch_embd.", "mm."};

/// An XL embedding has a table for each text encoder and nothing else.
bool is_xl_embedding(const std::vector<std::string>& names) {
  return !names.empty() && std::ranges::all_of(names, [](const std::string& name) {
    return name == "clip_l" || name == "clip_g";
  });
}

template <size_t kCount>
bool has_any(const std::vector<std::string>& names,
             const std::array<std::string_view, kCount>& starts) {
  return std::ranges::any_of(names, [&](const std::string& name) {
    return std::ranges::any_of(starts,
                               [&](std::string_view start) { return name.starts_with(start); });
  });
}

/// Of a GGUF file that calls itself something.
void refuse_language_model(const io::WeightSource& file, const std::string& architecture) {
  const std::vector<std::string> names = file.names();
  const bool t5 = has_any(names, std::array<std::string_view, 1>{"enc.blk."});
  if (has_any(names, kVisionPart))
    throw UnsupportedModel(message("[", file.origin(""), "] this file is the part of a language ",
                                   "model that sees (", architecture,
                                   "), not a model that makes pictures"));
  if (has_any(names, kLanguageModel) && !t5)
    throw UnsupportedModel(message("[", file.origin(""), "] this file is a language model (",
                                   architecture, "), not a model that makes pictures"));
}

std::optional<io::SingleFileParts> refuse(const std::shared_ptr<const io::WeightSource>& file,
                                          const std::map<std::string, std::string>& metadata) {
  for (const std::string& name : file->names())
    for (const auto& [part, kind] : kMarkers)
      if (name.find(part) != std::string::npos)
        throw UnsupportedModel(
            message("[", file->origin(name), "] this file is ", kind, " (tensor '", name, "')"));
  if (is_xl_embedding(file->names()))
    throw UnsupportedModel(message("[", file->origin(""), "] this file is ", kEmbedding));
  if (const auto architecture = metadata.find(io::kArchitectureKey); architecture != metadata.end())
    refuse_language_model(*file, architecture->second);
  return std::nullopt;
}

}  // namespace

const io::SingleFileFormat kOtherFiles = {"", &refuse};

}  // namespace sdrbee
