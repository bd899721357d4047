#include "sdrbee/io/weight_scope.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/dequantise.h"

namespace sdrbee::io {
namespace {

constexpr size_t kMaxListedNames = 8;

bool contains_any(const std::string& name, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return name.find(part) != std::string::npos; });
}

}  // namespace

int64_t WeightLedger::bytes() const {
  int64_t bytes = 0;
  for (const auto& item : taken_) bytes += item.second;
  return bytes;
}

int64_t WeightLedger::bytes(const std::string& name) const {
  const auto found = taken_.find(name);
  return found == taken_.end() ? 0 : found->second;
}

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

WeightScope WeightScope::as(Dtype dtype) const {
  WeightScope other = *this;
  other.dtype_ = dtype;
  return other;
}

std::string WeightScope::full_name(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

bool WeightScope::contains(std::string_view name) const { return find(name).has_value(); }

std::optional<WeightInfo> WeightScope::find(std::string_view name) const {
  return source_->find(full_name(name));
}

/// Checks name, shape and type and notes that the tensor is taken; false when there is no such
/// name.
bool WeightScope::claim(const std::string& key, at::IntArrayRef shape, int64_t bytes) const {
  const auto info = source_->find(key);
  if (!info) return false;
  if (at::IntArrayRef(info->shape) != shape)
    throw CheckpointError(message("[", source_->origin(key), "] tensor '", key,
                                  "': expected shape ", shape_text(shape), " but got ",
                                  shape_text(info->shape)));
  if (info->blocks) require_dequantisable(*info->blocks, key, source_->origin(key));
  ledger_->mark(key, bytes);
  return true;
}

/// The same for a tensor that must be there; returns its name in the source.
std::string WeightScope::claim_present(std::string_view name, at::IntArrayRef shape,
                                       int64_t bytes) const {
  std::string key = full_name(name);
  if (!claim(key, shape, bytes))
    throw CheckpointError(message("[", source_->origin(key), "] missing tensor '", key,
                                  "' of shape ", shape_text(shape)));
  return key;
}

std::function<Tensor()> WeightScope::promise_stored(std::string_view name,
                                                    at::IntArrayRef shape) const {
  return [source = source_, key = claim_present(name, shape, 0)] { return source->read(key); };
}

std::function<Tensor()> WeightScope::promise(std::string_view name, at::IntArrayRef shape) const {
  const int64_t bytes =
      c10::multiply_integers(shape) * static_cast<int64_t>(c10::elementSize(dtype_));
  const std::string key = claim_present(name, shape, bytes);
  return [source = source_, key, dtype = dtype_, device = device_] {
    return source->read_as(key, dtype).to(device);
  };
}

std::function<QuantisedTensor()> WeightScope::promise_blocks(std::string_view name,
                                                             at::IntArrayRef shape) const {
  const auto info = find(name);
  if (!info || !info->blocks || !device_.is_cpu()) return nullptr;
  const std::string key = full_name(name);
  const GgmlLayout& layout = ggml_layout(*info->blocks);
  claim(key, shape, c10::multiply_integers(shape) / layout.block_elements * layout.block_bytes);
  return [source = source_, key] { return source->read_blocks(key); };
}

void WeightScope::put_off(std::string_view name, LoadQueue::Task task,
                          LoadQueue::Remember remember) const {
  if (!queue_) return task();
  const std::string key = full_name(name);
  queue_->add(std::move(task), key, ledger_->bytes(key), std::move(remember));
}

Tensor WeightScope::take(std::string_view name, at::IntArrayRef shape) const {
  return promise(name, shape)();
}

std::optional<Tensor> WeightScope::take_if_present(std::string_view name,
                                                   at::IntArrayRef shape) const {
  if (!contains(name)) return std::nullopt;
  return take(name, shape);
}

}  // namespace sdrbee::io
