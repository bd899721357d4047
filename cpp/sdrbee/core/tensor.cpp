#include "sdrbee/core/tensor.h"

#include <array>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

constexpr std::array<std::pair<std::string_view, Dtype>, 6> kDtypeNames = {{
    {"fp32", Dtype::Float},
    {"bf16", Dtype::BFloat16},
    {"fp16", Dtype::Half},
    {"float32", Dtype::Float},
    {"bfloat16", Dtype::BFloat16},
    {"float16", Dtype::Half},
}};

}  // namespace

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::string dtype_name(Dtype dtype) {
  for (const auto& [name, value] : kDtypeNames)
    if (value == dtype) return std::string(name);
  return c10::toString(dtype);
}

Dtype parse_dtype(std::string_view name) {
  std::string known;
  for (const auto& [candidate, value] : kDtypeNames) {
    if (candidate == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(candidate);
  }
  throw InvalidRequest(message("[dtype] expected auto, ", known, " but got '", name, "'"));
}

}  // namespace sdrbee
