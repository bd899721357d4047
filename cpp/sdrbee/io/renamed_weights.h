// Views of weight sources: other names, parts of names, several files as one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// What a rule does with the tensors it matches.
enum class RenameVerb {
  Rename,       // the name only
  Split,        // into as many parts along `dimension` as there are names in `to`
  SwapHalves,   // exchanges the two halves along `dimension`
  Transpose,    // a matrix
  SqueezeConv,  // a convolution kernel of extent 1 to a matrix; matrices stay as they are
  Unsqueeze,    // a matrix to one with a leading extent of 1; what has that already stays as it is
  Drop,         // the tensor is not offered
};

/// One row of a rename table. `from` is a whole name or, when it ends with '.', a prefix; a prefix
/// rule replaces the prefix by `to`. The whole name wins over prefixes, the longer prefix over the
/// shorter.
struct RenameRule {
  std::string from;
  std::vector<std::string> to;
  RenameVerb verb = RenameVerb::Rename;
  int64_t dimension = 0;
  std::vector<int64_t> shares = {};  // Split: lengths of the parts to each other; empty: equal
};

/// A source with other names. Quantised tensors stay in blocks where a verb moves whole ones. Names
/// that no rule matches stay as they are, so that whoever loads
/// a network still meets the ones it has no place for.
class RenamedWeights final : public WeightSource {
 public:
  /// Throws CheckpointError when two tensors get one name or a shape doesn't allow the verb.
  RenamedWeights(std::shared_ptr<const WeightSource> source, const std::vector<RenameRule>& rules);

  std::vector<std::string> names() const override;
  std::optional<WeightInfo> find(const std::string& name) const override;
  Tensor read(const std::string& name) const override;
  QuantisedTensor read_blocks(const std::string& name) const override;
  std::string origin(const std::string& name) const override;

 private:
  struct Entry {
    std::string source_name;
    WeightInfo info;  // after the verb
    RenameVerb verb = RenameVerb::Rename;
    int64_t dimension = 0;
    int64_t first = 0;  // Split: where the part begins
  };
  void add(const std::string& name, Entry entry);
  void add_by_rule(const std::string& source_name, const RenameRule& rule);

  std::shared_ptr<const WeightSource> source_;
  std::map<std::string, Entry> entries_;
};

/// The tensors whose names start with a prefix, offered without it.
class SubsetWeights final : public WeightSource {
 public:
  SubsetWeights(std::shared_ptr<const WeightSource> source, std::string prefix);

  std::vector<std::string> names() const override;
  std::optional<WeightInfo> find(const std::string& name) const override;
  Tensor read(const std::string& name) const override;
  QuantisedTensor read_blocks(const std::string& name) const override;
  std::string origin(const std::string& name) const override;

 private:
  std::shared_ptr<const WeightSource> source_;
  std::string prefix_;
};

/// Several sources as one: the shards of a large component.
class MergedWeights final : public WeightSource {
 public:
  /// `origin` names the whole in messages about tensors that no source has.
  /// Throws CheckpointError when two sources have the same name.
  MergedWeights(std::vector<std::shared_ptr<const WeightSource>> sources, std::string origin);

  std::vector<std::string> names() const override;
  std::optional<WeightInfo> find(const std::string& name) const override;
  Tensor read(const std::string& name) const override;
  QuantisedTensor read_blocks(const std::string& name) const override;
  std::string origin(const std::string& name) const override;

 private:
  std::map<std::string, std::shared_ptr<const WeightSource>> owners_;
  std::string origin_;
};

}  // namespace sdrbee::io
