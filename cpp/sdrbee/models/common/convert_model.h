// Conversion of a model's weights, with the header that readers of the new file want.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sdrbee/io/convert.h"

namespace sdrbee {

/// Converts a file, the index of its shards, or a component's folder, see io::convert_weights.
/// Tensors keep the names that they have. Metadata is taken over; a GGUF file is told the
/// architecture where one is known. Throws CheckpointError for a damaged source, UnsupportedModel
/// for one that is no model, and InvalidRequest when source and target are the same file.
io::ConversionReport convert_model(const std::filesystem::path& source,
                                   const std::filesystem::path& target, const std::string& type,
                                   const std::vector<io::TypeRule>& rules,
                                   const std::function<void(int64_t done, int64_t total)>& observe);

}  // namespace sdrbee
