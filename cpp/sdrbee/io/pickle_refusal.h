// Pickle files run code when they are loaded: they are refused, with the way out.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace sdrbee::io {

/// Whether the name ends as pickle checkpoints do: .ckpt .pt .pth .bin .pkl
bool has_pickle_extension(const std::filesystem::path& path);

/// Throws UnsupportedModel, with the Python lines that convert the file to safetensors, when the
/// extension or the first bytes (a zip archive or a pickle stream) say that it is a pickle.
void refuse_pickle(const std::filesystem::path& path, std::span<const std::byte> first_bytes);

}  // namespace sdrbee::io
