#include "sdrbee/io/renamed_weights.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"

namespace sdrbee::io {
namespace {

using RuleIndex = std::unordered_map<std::string, const RenameRule*>;

/// The rule for a name: the whole name first, then ever shorter prefixes that end with '.'.
const RenameRule* find_rule(const RuleIndex& rules, const std::string& name) {
  if (const auto found = rules.find(name); found != rules.end()) return found->second;
  for (size_t dot = name.rfind('.'); dot != std::string::npos;
       dot = dot == 0 ? std::string::npos : name.rfind('.', dot - 1))
    if (const auto found = rules.find(name.substr(0, dot + 1)); found != rules.end())
      return found->second;
  return nullptr;
}

[[noreturn]] void fail_missing(const std::string& origin, const std::string& name) {
  throw CheckpointError(message("[", origin, "] missing tensor '", name, "'"));
}

/// The lengths of a Split's parts to each other.
std::vector<int64_t> shares_of(const RenameRule& rule) {
  return rule.shares.empty() ? std::vector<int64_t>(rule.to.size(), 1) : rule.shares;
}

/// Whether a tensor of this shape can be split in `parts` equal parts along `dimension`.
bool divides(const std::vector<int64_t>& shape, int64_t dimension, int64_t parts) {
  const auto index = static_cast<size_t>(dimension);
  return index < shape.size() && shape[index] % parts == 0;
}

/// Applies the verb to a shape; false when the shape doesn't allow it.
bool apply_to_shape(const RenameRule& rule, std::vector<int64_t>& shape) {
  switch (rule.verb) {
    case RenameVerb::Split: {  // to the shape of a part of one share
      const std::vector<int64_t> shares = shares_of(rule);
      const int64_t total = std::accumulate(shares.begin(), shares.end(), int64_t{0});
      if (!divides(shape, rule.dimension, total)) return false;
      shape[static_cast<size_t>(rule.dimension)] /= total;
      return true;
    }
    case RenameVerb::SwapHalves:
      return divides(shape, rule.dimension, 2);
    case RenameVerb::Transpose:
      if (shape.size() != 2) return false;
      std::swap(shape[0], shape[1]);
      return true;
    case RenameVerb::SqueezeConv:
      if (std::any_of(shape.begin() + std::min<std::ptrdiff_t>(2, std::ssize(shape)), shape.end(),
                      [](int64_t extent) { return extent != 1; }))
        return false;
      shape.resize(std::min<size_t>(2, shape.size()));
      return true;
    case RenameVerb::Unsqueeze:
      if (shape.size() == 2) shape.insert(shape.begin(), 1);
      return shape.size() == 3 && shape.front() == 1;
    case RenameVerb::Rename:
    case RenameVerb::Drop:
      return true;
  }
  return false;
}

/// Whether the verb leaves the stored blocks of such a tensor whole.
bool keeps_blocks(const RenameRule& rule, const std::vector<int64_t>& shape, GgmlType type) {
  switch (rule.verb) {
    case RenameVerb::Rename:
    case RenameVerb::SqueezeConv:
    case RenameVerb::Unsqueeze:
    case RenameVerb::Drop:
      return true;
    case RenameVerb::Split:
    case RenameVerb::SwapHalves:
      return rule.dimension == 0 && has_whole_rows({type, shape, {}});
    case RenameVerb::Transpose:
      return false;
  }
  return false;
}

}  // namespace

RenamedWeights::RenamedWeights(std::shared_ptr<const WeightSource> source,
                               const std::vector<RenameRule>& rules)
    : source_(std::move(source)) {
  RuleIndex index;
  for (const RenameRule& rule : rules) index[rule.from] = &rule;
  for (const std::string& name : source_->names()) {
    if (const RenameRule* rule = find_rule(index, name))
      add_by_rule(name, *rule);
    else
      add(name, {.source_name = name, .info = *source_->find(name)});
  }
}

void RenamedWeights::add_by_rule(const std::string& source_name, const RenameRule& rule) {
  if (rule.verb == RenameVerb::Drop) return;
  Entry entry = {.source_name = source_name,
                 .info = *source_->find(source_name),
                 .verb = rule.verb,
                 .dimension = rule.dimension};
  const std::vector<int64_t> stored_shape = entry.info.shape;
  if (!apply_to_shape(rule, entry.info.shape))
    throw CheckpointError(message("[", source_->origin(source_name), "] tensor '", source_name,
                                  "': unexpected shape ", shape_text(stored_shape)));
  if (entry.info.blocks && !keeps_blocks(rule, stored_shape, *entry.info.blocks))
    entry.info.blocks.reset();
  const std::string rest = source_name.substr(rule.from.size());
  if (rule.verb != RenameVerb::Split) return add(rule.to.front() + rest, std::move(entry));
  const std::vector<int64_t> shares = shares_of(rule);
  int64_t& length = entry.info.shape[static_cast<size_t>(rule.dimension)];
  const int64_t unit = length;
  for (size_t i = 0; i < rule.to.size(); ++i) {
    length = unit * shares[i];
    add(rule.to[i] + rest, entry);
    entry.first += length;
  }
}

void RenamedWeights::add(const std::string& name, Entry entry) {
  const auto [position, added] = entries_.emplace(name, std::move(entry));
  if (!added)
    throw CheckpointError(message("[", source_->origin(name), "] tensor '", name,
                                  "' is there twice", ", once as '", position->second.source_name,
                                  "'"));
}

std::vector<std::string> RenamedWeights::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& item : entries_) names.push_back(item.first);
  return names;
}

std::optional<WeightInfo> RenamedWeights::find(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return std::nullopt;
  return found->second.info;
}

Tensor RenamedWeights::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail_missing(origin(name), name);
  const Entry& entry = found->second;
  const Tensor stored = source_->read(entry.source_name);
  switch (entry.verb) {
    case RenameVerb::Split: {
      const int64_t length = entry.info.shape[static_cast<size_t>(entry.dimension)];
      return stored.narrow(entry.dimension, entry.first, length).contiguous();
    }
    case RenameVerb::SwapHalves: {
      const std::vector<Tensor> halves = stored.chunk(2, entry.dimension);
      return at::cat({halves[1], halves[0]}, entry.dimension);
    }
    case RenameVerb::Transpose:
      return stored.t().contiguous();
    case RenameVerb::SqueezeConv:
    case RenameVerb::Unsqueeze:
      return stored.reshape(entry.info.shape);
    case RenameVerb::Rename:
    case RenameVerb::Drop:
      return stored;
  }
  return stored;
}

QuantisedTensor RenamedWeights::read_blocks(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail_missing(origin(name), name);
  const Entry& entry = found->second;
  QuantisedTensor stored = source_->read_blocks(entry.source_name);
  SDRBEE_CHECK(entry.info.blocks, name, " is not in blocks");
  const int64_t rows = stored.shape.empty() ? 1 : stored.shape.front();
  switch (entry.verb) {
    case RenameVerb::Split: {
      const int64_t length = entry.info.shape.front();
      return narrow_rows(stored, entry.first, length);
    }
    case RenameVerb::SwapHalves:
      stored.bytes = at::cat(
          {narrow_rows(stored, rows / 2, rows / 2).bytes, narrow_rows(stored, 0, rows / 2).bytes});
      return stored;
    case RenameVerb::SqueezeConv:
    case RenameVerb::Unsqueeze:
      stored.shape = entry.info.shape;
      return stored;
    case RenameVerb::Rename:
    case RenameVerb::Transpose:
    case RenameVerb::Drop:
      return stored;
  }
  return stored;
}

std::string RenamedWeights::origin(const std::string& name) const {
  const auto found = entries_.find(name);
  return source_->origin(found == entries_.end() ? name : found->second.source_name);
}

SubsetWeights::SubsetWeights(std::shared_ptr<const WeightSource> source, std::string prefix)
    : source_(std::move(source)), prefix_(std::move(prefix)) {}

std::vector<std::string> SubsetWeights::names() const {
  std::vector<std::string> names;
  for (const std::string& name : source_->names())
    if (name.starts_with(prefix_)) names.push_back(name.substr(prefix_.size()));
  return names;
}

std::optional<WeightInfo> SubsetWeights::find(const std::string& name) const {
  return source_->find(prefix_ + name);
}

Tensor SubsetWeights::read(const std::string& name) const { return source_->read(prefix_ + name); }

QuantisedTensor SubsetWeights::read_blocks(const std::string& name) const {
  return source_->read_blocks(prefix_ + name);
}

std::string SubsetWeights::origin(const std::string& name) const {
  return source_->origin(prefix_ + name);
}

MergedWeights::MergedWeights(std::vector<std::shared_ptr<const WeightSource>> sources,
                             std::string origin)
    : origin_(std::move(origin)) {
  for (const auto& source : sources)
    for (const std::string& name : source->names()) {
      const auto [position, added] = owners_.emplace(name, source);
      if (!added)
        throw CheckpointError(message("[", source->origin(name), "] tensor '", name,
                                      "' is also in ", position->second->origin(name)));
    }
}

std::vector<std::string> MergedWeights::names() const {
  std::vector<std::string> names;
  names.reserve(owners_.size());
  for (const auto& item : owners_) names.push_back(item.first);
  return names;
}

std::optional<WeightInfo> MergedWeights::find(const std::string& name) const {
  const auto found = owners_.find(name);
  if (found == owners_.end()) return std::nullopt;
  return found->second->find(name);
}

Tensor MergedWeights::read(const std::string& name) const {
  const auto found = owners_.find(name);
  if (found == owners_.end()) fail_missing(origin_, name);
  return found->second->read(name);
}

QuantisedTensor MergedWeights::read_blocks(const std::string& name) const {
  const auto found = owners_.find(name);
  if (found == owners_.end()) fail_missing(origin_, name);
  return found->second->read_blocks(name);
}

std::string MergedWeights::origin(const std::string& name) const {
  const auto found = owners_.find(name);
  return found == owners_.end() ? origin_ : found->second->origin(name);
}

}  // namespace sdrbee::io
