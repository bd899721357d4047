// How the numbers of a GGUF tensor are stored: plain, or in quantised blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee::io {

/// The tensor types of ggml, with their numbers in the file. Types that ggml has removed are not
/// among them: https://github.com/ggml-org/ggml/blob/master/include/ggml.h (enum ggml_type)
enum class GgmlType : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q8_1 = 9,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  Q8_K = 15,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  I8 = 24,
  I16 = 25,
  I32 = 26,
  I64 = 27,
  F64 = 28,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
  NVFP4 = 40,
  Q1_0 = 41,
};

/// How a type lays out its values: `block_bytes` bytes hold `block_elements` values of one row.
struct GgmlLayout {
  GgmlType type = GgmlType::F32;
  std::string_view name;
  int64_t block_elements = 1;
  int64_t block_bytes = 4;
  /// torch's dtype of the same bytes; nothing for quantised types.
  std::optional<Dtype> dtype;
};

/// All types.
std::span<const GgmlLayout> ggml_layouts();

/// The layout of a type's number in a file; nothing when there is no such type.
const GgmlLayout* find_ggml_layout(uint32_t number);

const GgmlLayout& ggml_layout(GgmlType type);

/// "Q4_K", as the gguf package writes it.
std::string_view ggml_type_name(GgmlType type);

/// What is added to the rows of a quantised tensor when they are expanded, fp32: up [rows, rank] x
/// down [rank, values of a row], or `up` [rows, values of a row] alone; undefined: nothing.
struct AddedRows {
  Tensor up;
  Tensor down;
};

/// A tensor as a GGUF file stores it.
struct QuantisedTensor {
  GgmlType type = GgmlType::F32;
  /// In torch's order: the last extent is contiguous. The values follow each other in blocks
  /// without regard to rows.
  std::vector<int64_t> shape;
  /// The blocks, a contiguous uint8 vector on the CPU. It may alias a mapped file: never write
  /// to it.
  Tensor bytes;
  AddedRows added = {};
};

/// Whether the rows of the outermost extent are whole blocks, so that they can be taken alone.
bool has_whole_rows(const QuantisedTensor& tensor);

/// `count` rows of the outermost extent from `begin` on, sharing the memory. The rows must be whole
/// blocks.
QuantisedTensor narrow_rows(const QuantisedTensor& tensor, int64_t begin, int64_t count);

/// Throws InternalError unless `bytes` is what type and shape ask for.
void check_blocks(const QuantisedTensor& tensor);

}  // namespace sdrbee::io
