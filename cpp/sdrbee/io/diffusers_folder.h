// The folder layout of diffusers: model_index.json and one folder per component.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/io/weight_file.h"

namespace sdrbee::io {

/// Opens `<stem>[.<variant>].safetensors`, its shards through the index file, or a .gguf file.
/// Without a variant the plain files are taken, then those of fp16. Throws CheckpointError naming
/// the folder, the index or the shard, and UnsupportedModel with the conversion when there are
/// pickle files only.
WeightFile open_folder_weights(const std::filesystem::path& folder, const std::string& stem,
                               const std::string& variant);

/// Opens the component that lies in `folder`; its files are appended to `files`.
/// Throws CheckpointError naming the folder or the file.
Component open_component_folder(const std::filesystem::path& folder, const ComponentKind& kind,
                                const std::string& variant,
                                std::vector<std::filesystem::path>& files);

/// The same without weights.
Component describe_component_folder(const std::filesystem::path& folder, const ComponentKind& kind,
                                    std::vector<std::filesystem::path>& files);

/// Whether classes are of the same network, maybe with another head: CLIPTextModel with and without
/// the projection of the pooled text, Qwen3Model and Qwen3ForCausalLM.
bool are_same_network(const std::string& class_name, const std::string& other);

/// Names as today's diffusers and transformers write them, whatever age the file has: text
/// encoders without the "text_model." or "model." prefix, attention of the VAE as to_q, to_k, to_v,
/// to_out.0.
std::shared_ptr<const WeightSource> with_current_names(std::shared_ptr<const WeightSource> source,
                                                       const std::string& class_name);

}  // namespace sdrbee::io
