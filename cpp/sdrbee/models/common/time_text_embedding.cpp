#include "sdrbee/models/common/time_text_embedding.h"

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

constexpr int64_t kSinusoids = 256;

}  // namespace

TimeTextEmbedding::TimeTextEmbedding(const io::WeightScope& scope, const Shape& shape)
    : timestep_embedder_(scope / "timestep_embedder", {.in = kSinusoids, .hidden = shape.width}),
      text_embedder_(scope / "text_embedder", {.in = shape.pooled, .hidden = shape.width}) {
  if (shape.guidance)
    guidance_embedder_.emplace(
        scope / "guidance_embedder",
        nn::TimestepEmbedding::Shape{.in = kSinusoids, .hidden = shape.width});
}

Tensor TimeTextEmbedding::operator()(const Tensor& timesteps, const Tensor& pooled,
                                     const Tensor& guidance) const {
  SDRBEE_CHECK(guidance.defined() == guidance_embedder_.has_value());
  const auto sinusoids = [&](const Tensor& values) {
    return nn::sinusoidal_embedding(values, kSinusoids, {}).to(pooled.scalar_type());
  };
  Tensor embedding = timestep_embedder_(sinusoids(timesteps));
  if (guidance_embedder_) embedding = embedding + (*guidance_embedder_)(sinusoids(guidance));
  return embedding + text_embedder_(pooled);
}

}  // namespace sdrbee
