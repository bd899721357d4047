// The folder layout of diffusers: model_index.json and one folder per component.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sdrbee/io/checkpoint.h"

namespace sdrbee::io {

/// The weight files of one component folder, as one source.
struct FolderWeights {
  std::shared_ptr<const WeightSource> source;
  std::vector<std::filesystem::path> files;  // the index of shards included
};

/// Opens `<stem>[.<variant>].safetensors`, or its shards through the index file. Without a variant
/// the plain files are taken, then those of fp16.
/// Throws CheckpointError naming the folder, the index or the shard, and UnsupportedModel with the
/// conversion when there are pickle files only.
FolderWeights open_folder_weights(const std::filesystem::path& folder, const std::string& stem,
                                  const std::string& variant);

/// Opens one component of a diffusers folder; its files are appended to `files`.
Component open_folder_component(const std::filesystem::path& model, const std::string& name,
                                const std::string& library, const std::string& class_name,
                                const std::string& variant,
                                std::vector<std::filesystem::path>& files);

/// Names as today's diffusers and transformers write them, whatever age the file has: text
/// encoders without the "text_model." prefix, attention of the VAE as to_q, to_k, to_v, to_out.0.
std::shared_ptr<const WeightSource> with_current_names(std::shared_ptr<const WeightSource> source,
                                                       const std::string& class_name);

}  // namespace sdrbee::io
