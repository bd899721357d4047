// Weights from one file format and number format to another.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sdrbee/io/gguf_header.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// Tensors whose names match `pattern` (`*` and `?` stand for any text and any letter) get `type`.
struct TypeRule {
  std::string pattern;
  std::string type;
};

/// What a conversion writes.
struct ConversionOptions {
  /// A .safetensors or .gguf file; it is written atomically.
  std::filesystem::path target;
  /// One of conversion_types(), in any case; empty: as they are stored. Plain types are given to
  /// all float tensors; quantised ones and fp8 only to matrices and kernels of at least 1024
  /// values. Others keep their floats. Where rows are no whole blocks of Q4_K or Q6_K, Q5_0 or Q8_0
  /// is taken, and where they are none of these either, the tensor keeps its floats.
  std::string type;
  /// The first rule that matches wins over `type`.
  std::vector<TypeRule> rules;
  /// Goes into the header of a GGUF file that the source doesn't have already.
  GgufMetadata gguf_metadata;
  /// Goes into the header of a safetensors file.
  std::map<std::string, std::string> metadata;
};

/// What was written: how many tensors of each type, and the bytes of all.
struct ConversionReport {
  std::map<std::string, int64_t> tensors;
  uint64_t bytes = 0;
};

/// The names of the types that a file of this kind (".gguf", ".safetensors") may be given.
std::vector<std::string> conversion_types(const std::filesystem::path& target);

/// Writes all tensors of `source`; `observe(done, total)` is called after each one and may throw to
/// give up. Only one tensor is in memory at a time. Throws InvalidRequest for a target or type of
/// no known name, for a rule whose type a tensor can't have, naming both, and Error naming the path
/// when it can't be written.
ConversionReport convert_weights(const WeightSource& source, const ConversionOptions& options,
                                 const std::function<void(int64_t done, int64_t total)>& observe);

}  // namespace sdrbee::io
