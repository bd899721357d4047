#include "sdrbee/models/z_image/denoiser.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

#include <map>
#include <vector>

#include "sdrbee/core/check.h"

namespace sdrbee::z_image {
namespace {

constexpr double kTrainSteps = 1000;

}  // namespace

ZImageDenoiser::ZImageDenoiser(const io::Component& component, const LoadOptions& options)
    : network_(component, options,
               [config = TransformerConfig::from(component.config)](const io::WeightScope& scope) {
                 return Transformer(scope, config);
               }) {}

Tensor ZImageDenoiser::predict(const Tensor& latents, const Tensor& timesteps,
                               const Conditioning& conditioning) {
  SDRBEE_CHECK_SHAPE(conditioning.context_counts, {latents.size(0)});
  std::map<int64_t, std::vector<int64_t>> rows_by_tokens;
  for (int64_t row = 0; row < latents.size(0); ++row)
    rows_by_tokens[filled_up(conditioning.context_counts[row].item<int64_t>())].push_back(row);
  const Transformer& network = network_.use();
  Tensor prediction = at::empty_like(latents, at::kFloat);
  for (const auto& [tokens, rows] : rows_by_tokens) {
    const Tensor chosen = at::tensor(rows, at::kLong);
    const Tensor there = chosen.to(latents.device());
    std::vector<int64_t> counts;
    for (const int64_t row : rows)
      counts.push_back(conditioning.context_counts[row].item<int64_t>());
    const Tensor velocity =
        network({.latents = latents.index_select(0, there),
                 .timesteps = (kTrainSteps - timesteps.index_select(0, there)) / kTrainSteps,
                 .context = conditioning.context.index_select(0, there),
                 .counts = std::move(counts)});
    // The network looks towards the picture, samplers towards the noise.
    prediction.index_copy_(0, there, velocity.to(at::kFloat).neg());
  }
  return prediction;
}

}  // namespace sdrbee::z_image
