#include "sdrbee/io/checkpoint.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/sha256.h"
#include "sdrbee/io/diffusers_folder.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/safetensors.h"

namespace sdrbee::io {
namespace {

namespace fs = std::filesystem;

/// Components of model_index.json that no picture needs.
constexpr std::array<std::string_view, 2> kUnusedComponents = {"safety_checker",
                                                               "feature_extractor"};

/// Piece by piece, so that the file is never resident as a whole.
void add_content(Sha256& hash, const MappedFile& file) {
  constexpr size_t kPieceBytes = size_t{1} << 24;
  for (auto rest = file.bytes(); !rest.empty();) {
    const auto piece = rest.first(std::min(kPieceBytes, rest.size()));
    hash.update(piece);
    file.release_pages(piece);
    rest = rest.subspan(piece.size());
  }
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& path, std::span<const SingleFileFormat> formats,
                            const std::string& variant) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    throw CheckpointError(message("[", path.string(), "] expected a model folder or a ",
                                  ".safetensors file but there is nothing at this path"));
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  if (fs::is_directory(status))
    checkpoint.open_folder(variant);
  else
    checkpoint.open_single_file(formats);
  std::sort(checkpoint.files_.begin(), checkpoint.files_.end());
  return checkpoint;
}

void Checkpoint::open_folder(const std::string& variant) {
  layout_ = CheckpointLayout::DiffusersFolder;
  const fs::path index_path = path_ / "model_index.json";
  if (!fs::exists(index_path))
    throw CheckpointError(message(
        "[", path_.string(), "] expected a diffusers folder but it has no ", "model_index.json"));
  index_ = Config::read(index_path);
  files_.push_back(index_path);
  pipeline_class_ = index_.string_or("_class_name", "");
  for (const auto& [name, value] : index_.json().items()) {
    if (!value.is_array()) continue;
    if (value.size() != 2) index_.reject(name, "a library and a class");
    const bool absent = value[0].is_null() || value[1].is_null();
    if (absent || std::find(kUnusedComponents.begin(), kUnusedComponents.end(), name) !=
                      kUnusedComponents.end())
      continue;
    const std::vector<std::string> kind = index_.strings_or(name, {});
    components_.push_back(open_folder_component(path_, name, kind[0], kind[1], variant, files_));
  }
}

void Checkpoint::open_single_file(std::span<const SingleFileFormat> formats) {
  layout_ = CheckpointLayout::SingleFile;
  const auto file = std::make_shared<SafetensorsFile>(path_);
  files_.push_back(path_);
  std::string known;
  for (const SingleFileFormat& format : formats) {
    if (auto parts = format.recognise(file, file->metadata())) {
      pipeline_class_ = std::move(parts->pipeline_class);
      index_ = std::move(parts->index);
      components_ = std::move(parts->components);
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(format.id);
  }
  throw UnsupportedModel(message("[", path_.string(), "] the tensors' names are of no model that ",
                                 "single files are known of (", known, ")"));
}

const Component* Checkpoint::find(std::string_view name) const {
  const auto found = std::find_if(components_.begin(), components_.end(),
                                  [&](const Component& part) { return part.name == name; });
  return found == components_.end() ? nullptr : &*found;
}

const Component& Checkpoint::component(std::string_view name) const {
  if (const Component* found = find(name)) return *found;
  std::string present;
  for (const Component& part : components_) present += (present.empty() ? "" : ", ") + part.name;
  throw CheckpointError(message("[", path_.string(), "] expected a component '", name,
                                "' but the model has: ", present));
}

const Component& Checkpoint::component(std::string_view name, std::string_view class_name) const {
  const Component& found = component(name);
  if (found.class_name != class_name)
    throw CheckpointError(message("[", path_.string(), "] component '", name, "': expected class ",
                                  class_name, " but got ", found.class_name));
  return found;
}

std::string Checkpoint::sha256() const {
  Sha256 hash;
  for (const fs::path& path : files_) {
    if (layout_ == CheckpointLayout::DiffusersFolder) {
      // Lengths keep names and contents apart, so that no two folders give the same stream.
      const std::string name = path.lexically_relative(path_).generic_string();
      hash.update(message(name.size(), ":", name, fs::file_size(path), ":"));
    }
    if (fs::file_size(path) > 0) add_content(hash, *MappedFile::open(path));
  }
  return hash.hexadecimal();
}

}  // namespace sdrbee::io
