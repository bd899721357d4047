#include "sdrbee/sampling/prediction.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/quantile.h>

#include <array>
#include <cmath>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/names.h"

namespace sdrbee::sampling {
namespace {

constexpr std::array<std::pair<std::string_view, PredictionType>, 10> kNames = {{
    {"epsilon", PredictionType::Epsilon},
    {"v_prediction", PredictionType::Velocity},
    {"sample", PredictionType::Sample},
    {"flow_prediction", PredictionType::Flow},
    {"eps", PredictionType::Epsilon},
    {"v", PredictionType::Velocity},
    {"x0", PredictionType::Sample},
    {"flow", PredictionType::Flow},
    {"velocity", PredictionType::Velocity},
    {"original_sample", PredictionType::Sample},  // diffusers' older name
}};
constexpr size_t kCanonicalNames = 4;

}  // namespace

std::string prediction_name(PredictionType type) {
  for (const auto& [name, named] : kNames)
    if (named == type) return std::string(name);
  throw InternalError("[prediction_name] unknown type");
}

PredictionType parse_prediction(std::string_view name) {
  const std::string wanted = lower_case(name);
  std::vector<std::string_view> canonical;
  for (const auto& [known, type] : kNames) {
    if (known == wanted) return type;
    if (canonical.size() < kCanonicalNames) canonical.push_back(known);
  }
  throw InvalidRequest(unknown_name_message("prediction", name, canonical));
}

Mix variance_preserving_mix(float sigma) {
  const float alpha = 1 / std::sqrt(sigma * sigma + 1);
  return {alpha, sigma * alpha};
}

Tensor clean_from(PredictionType type, const Tensor& raw, const Tensor& x, Mix mix) {
  switch (type) {
    case PredictionType::Epsilon:
      return (x - raw * mix.sigma) / mix.alpha;
    case PredictionType::Velocity:
      return x * mix.alpha - raw * mix.sigma;
    case PredictionType::Sample:
      return raw;
    case PredictionType::Flow:
      return x - raw * mix.sigma;
  }
  throw InternalError("[clean_from] unknown prediction");
}

Tensor noise_from(PredictionType type, const Tensor& raw, const Tensor& x, Mix mix) {
  switch (type) {
    case PredictionType::Epsilon:
      return raw;
    case PredictionType::Velocity:
      return raw * mix.alpha + x * mix.sigma;
    case PredictionType::Sample:
      return (x - raw * mix.alpha) / mix.sigma;
    case PredictionType::Flow:
      return x + raw * mix.alpha;
  }
  throw InternalError("[noise_from] unknown prediction");
}

Tensor clean_from_exploding(PredictionType type, const Tensor& raw, const Tensor& x, float sigma) {
  if (type == PredictionType::Sample) return raw;
  if (type != PredictionType::Velocity) return x - raw * sigma;
  const float variance = sigma * sigma + 1;
  return raw * (-sigma / std::sqrt(variance)) + x / variance;
}

Tensor dynamic_threshold(const Tensor& clean, double ratio, double max_value) {
  const Tensor flat = clean.reshape({clean.size(0), -1});  // [B, C, H, W] -> [B, C*H*W]
  const Tensor limit = at::clamp(at::quantile(flat.abs(), ratio, 1, true), 1.0, max_value);
  return (at::clamp(flat, -limit, limit) / limit).reshape(clean.sizes());
}

}  // namespace sdrbee::sampling
