// Writing GGUF files.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sdrbee/io/gguf_header.h"

namespace sdrbee::io {

/// What a file is going to say of a tensor.
struct PlannedTensor {
  GgmlType type = GgmlType::F32;
  std::vector<int64_t> shape;  // in torch's order
};

/// Writes a GGUF file of version 3, atomically and the same bytes for the same input. `blocks` is
/// asked for each planned tensor once, in the order of the names, and its answer is dropped before
/// the next question: files larger than the memory can be converted.
///
/// The alignment is what `general.alignment` in `metadata` says, or the default. A shape that the
/// format can't hold (no extent, more than four, rows that are no whole blocks) goes into the
/// metadata as `comfy.gguf.orig_shape`; entries of that name in `metadata` are replaced. Throws
/// Error naming the path when it can't be written, and CheckpointError naming the tensor for an
/// extent of 0 or values that are no whole number of blocks.
void write_gguf(const std::filesystem::path& path, const std::map<std::string, PlannedTensor>& plan,
                const std::function<QuantisedTensor(const std::string& name)>& blocks,
                GgufMetadata metadata = {});

/// The same for tensors that are all there.
void write_gguf(const std::filesystem::path& path,
                const std::map<std::string, QuantisedTensor>& tensors, GgufMetadata metadata = {});

}  // namespace sdrbee::io
