#include "sdrbee/io/safetensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/json.h"
#include "sdrbee/io/pickle_refusal.h"

namespace sdrbee::io {
namespace {

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::span<const std::byte> as_bytes(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

/// A C++ bool other than 0 or 1 is undefined behaviour wherever it is used.
bool holds_only_bools(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte value) { return std::to_integer<int>(value) <= 1; });
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path) {
  file_ = MappedFile::open(path_);
  refuse_pickle(path_, file_->bytes());
  const std::string_view content(reinterpret_cast<const char*>(file_->bytes().data()),
                                 file_->bytes().size());
  header_ = parse_safetensors_header(content, path_.string());
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  names.reserve(header_.tensors.size());
  for (const auto& item : header_.tensors) names.push_back(item.first);
  return names;
}

std::optional<WeightInfo> SafetensorsFile::find(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end()) return std::nullopt;
  return found->second.info;
}

Tensor SafetensorsFile::read(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end())
    throw CheckpointError(message("[", path_.string(), "] missing tensor '", name, "'"));
  const SafetensorsEntry& entry = found->second;
  const auto bytes =
      file_->bytes().subspan(header_.data_offset + entry.begin, entry.end - entry.begin);
  const at::TensorOptions options = at::TensorOptions().dtype(entry.info.dtype);
  if (bytes.empty()) return at::empty(entry.info.shape, options);
  if (entry.info.dtype == Dtype::Bool && !holds_only_bools(bytes))
    throw CheckpointError(message("[", path_.string(), "] tensor '", name,
                                  "': expected bytes of 0 and 1 in a BOOL tensor"));
  const bool aligned =
      reinterpret_cast<uintptr_t>(bytes.data()) % c10::elementSize(entry.info.dtype) == 0;
  if (!aligned) {
    Tensor copy = at::empty(entry.info.shape, options);
    std::memcpy(copy.mutable_data_ptr(), bytes.data(), bytes.size());
    file_->release_pages(bytes);
    return copy;
  }
  // from_blob takes a writable pointer, but the pages are mapped read-only.
  return at::from_blob(
      const_cast<std::byte*>(bytes.data()), entry.info.shape,
      [file = file_, bytes](void*) { file->release_pages(bytes); }, options);
}

std::string SafetensorsFile::origin(const std::string&) const { return path_.string(); }

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, WeightInfo>& plan,
                       const std::function<Tensor(const std::string& name)>& values,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, WeightInfo>> ordered(plan.begin(), plan.end());
  // Widest elements first, so that every tensor is aligned without padding.
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return c10::elementSize(a.second.dtype) > c10::elementSize(b.second.dtype);
  });
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, info] : ordered) {
    const auto elements = static_cast<uint64_t>(c10::multiply_integers(info.shape));
    const uint64_t end = offset + elements * c10::elementSize(info.dtype);
    header[name] = {{"dtype", safetensors_dtype_name(info.dtype)},
                    {"shape", info.shape},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(as_bytes(text));
  for (const auto& [name, info] : ordered) {
    const Tensor tensor = values(name).contiguous();
    SDRBEE_CHECK(tensor.scalar_type() == info.dtype && tensor.sizes() == info.shape, "for ", name);
    file.write(as_bytes(tensor));
  }
  file.commit();
}

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::map<std::string, WeightInfo> plan;
  for (const auto& [name, tensor] : tensors)
    plan[name] = {tensor.scalar_type(), tensor.sizes().vec()};
  write_safetensors(
      path, plan, [&](const std::string& name) { return tensors.at(name); }, metadata);
}

}  // namespace sdrbee::io
