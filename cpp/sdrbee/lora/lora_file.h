// Files of the LoRA family: what they change, whoever wrote them.
//
// Read are the dialects of kohya's sd-scripts (https://github.com/kohya-ss/sd-scripts), of
// diffusers before and since PEFT, of PEFT (https://github.com/huggingface/peft), of LyCORIS
// (https://github.com/KohakuBlueleaf/LyCORIS): LoRA, LoCon, LoHa, LoKr, full differences, norms and
// DoRA, and those of FLUX: XLabs' (https://github.com/XLabs-AI/x-flux) and Black Forest Labs' own.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/safetensors.h"

namespace sdrbee::lora {

/// What a tensor is in the change of its module.
enum class Role {
  Down,  ///< [rank, in, ...], the first factor
  Up,    ///< [out, rank, ...]
  Mid,   ///< [rank, rank, k, k], the core of a Tucker decomposition
  UpBias,
  Alpha,      ///< the scale is alpha / rank
  Magnitude,  ///< DoRA, Liu et al. 2024, arXiv:2402.09353
  DoraScale,  ///< the same as LyCORIS writes it
  Scalar,     ///< LyCORIS' trained factor
  Diff,       ///< the whole difference of the weight
  DiffBias,
  Value,    ///< the weight itself, in the place of the model's
  LohaW1A,  ///< LoHa, Hyeon-Woo et al. 2021, arXiv:2108.06098
  LohaW1B,
  LohaW2A,
  LohaW2B,
  LohaT1,
  LohaT2,
  LokrW1,  ///< LoKr, a Kronecker product, Yeh et al. 2023, arXiv:2309.14859
  LokrW1A,
  LokrW1B,
  LokrW2,
  LokrW2A,
  LokrW2B,
  LokrT2,
};

/// What a file says of one layer of a model.
struct LoraModule {
  std::string name;  ///< as the file has it, without what tells the tensor's role
  std::map<Role, std::string> tensors;  ///< their keys in the file

  bool has(Role role) const { return tensors.contains(role); }
  bool changes_weight() const;
  bool changes_bias() const { return has(Role::UpBias) || has(Role::DiffBias); }
};

/// The configuration that diffusers and PEFT write beside the tensors.
struct LoraConfig {
  double rank = 0.0;        ///< 0: not told
  double alpha = 0.0;       ///< 0: not told
  bool root_scale = false;  ///< alpha / sqrt(rank), Kalajdzievski 2023, arXiv:2312.03732
  std::map<std::string, double> alphas = {};  ///< by module, or the end of its name
};

/// A file of the LoRA family, mapped into memory.
class LoraFile {
 public:
  /// Throws CheckpointError for a missing or damaged file, and for one that holds no LoRA;
  /// UnsupportedModel for pickle files.
  static std::shared_ptr<const LoraFile> open(const std::filesystem::path& path);

  const std::vector<LoraModule>& modules() const { return modules_; }
  /// Keys that are no part of any dialect.
  const std::vector<std::string>& unknown_keys() const { return unknown_keys_; }
  const std::filesystem::path& path() const { return source_.path(); }

  /// The tensor of a module in fp32. The module must have it.
  Tensor read(const LoraModule& module, Role role) const;

  /// The shape of a module's tensor; empty when it has none.
  std::vector<int64_t> shape(const LoraModule& module, Role role) const;

  /// The factor of a module of this rank: alpha / rank, 1 where no alpha is told.
  double scale(const LoraModule& module, double rank) const;

  /// SHA-256 of the whole file, computed at the first call.
  const std::string& sha256() const;

  /// The model that the file looks made for, in words; empty when nothing tells.
  std::string likely_base() const;

 private:
  explicit LoraFile(const std::filesystem::path& path);

  io::SafetensorsFile source_;
  std::vector<LoraModule> modules_;
  std::vector<std::string> unknown_keys_;
  std::map<std::string, LoraConfig> configs_;  // by component, "" for all
  mutable std::string sha256_;
};

}  // namespace sdrbee::lora
