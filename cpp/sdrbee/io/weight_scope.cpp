#include "sdrbee/io/weight_scope.h"

#include <algorithm>

#include "sdrbee/core/error.h"

namespace sdrbee::io {
namespace {

constexpr size_t kMaxListedNames = 8;

bool contains_any(const std::string& name, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return name.find(part) != std::string::npos; });
}

}  // namespace

void WeightLedger::check_all_taken(const WeightSource& source, std::string_view prefix,
                                   const std::vector<std::string>& ignorable) const {
  std::string listed;
  std::string file;
  size_t count = 0;
  for (const std::string& name : source.names()) {
    if (!name.starts_with(prefix) || taken_.contains(name) || contains_any(name, ignorable))
      continue;
    if (count == 0) file = source.origin(name);
    if (++count <= kMaxListedNames) listed += "\n  " + name;
  }
  if (count > 0)
    throw CheckpointError(message("[", file, "] ", count, " unexpected tensors that the ",
                                  "architecture in config.json has no place for:", listed,
                                  count > kMaxListedNames ? "\n  ..." : ""));
}

WeightScope WeightScope::operator/(std::string_view name) const {
  WeightScope inner = *this;
  inner.path_ = full_name(name);
  return inner;
}

WeightScope WeightScope::operator/(int64_t index) const { return *this / std::to_string(index); }

std::string WeightScope::full_name(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

bool WeightScope::contains(std::string_view name) const { return find(name).has_value(); }

std::optional<WeightInfo> WeightScope::find(std::string_view name) const {
  return source_->find(full_name(name));
}

Tensor WeightScope::take(std::string_view name, at::IntArrayRef shape) const {
  if (auto tensor = take_if_present(name, shape)) return *std::move(tensor);
  const std::string key = full_name(name);
  throw CheckpointError(message("[", source_->origin(key), "] missing tensor '", key, "' of shape ",
                                shape_text(shape)));
}

std::optional<Tensor> WeightScope::take_if_present(std::string_view name,
                                                   at::IntArrayRef shape) const {
  const std::string key = full_name(name);
  const auto info = source_->find(key);
  if (!info) return std::nullopt;
  if (at::IntArrayRef(info->shape) != shape)
    throw CheckpointError(message("[", source_->origin(key), "] tensor '", key,
                                  "': expected shape ", shape_text(shape), " but got ",
                                  shape_text(info->shape)));
  ledger_->mark(key);
  return source_->read(key).to(at::TensorOptions().dtype(dtype_).device(device_));
}

}  // namespace sdrbee::io
