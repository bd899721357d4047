// Decoding and encoding a large picture in tiles with the built-in model's autoencoder.
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <gtest/gtest.h>

#include <utility>

#include "sdrbee/io/json.h"
#include "sdrbee/io/safetensors.h"
#include "sdrbee/vae/autoencoder_kl.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::vae {
namespace {

constexpr int64_t kTile = 48;  // cuts every stage of 512 x 384 pixels, the last into 42 tiles
constexpr double kGreyLevel = 2.0 / 255;  // on the scale of -1..1

AutoencoderKl built_in_autoencoder() {
  const std::string folder = test::source_path("python/sdrbee/data/shapes/vae");
  const io::SafetensorsFile file(folder + "/diffusion_pytorch_model.safetensors");
  io::WeightLedger ledger;
  return AutoencoderKl(io::WeightScope(file, ledger, Dtype::Float, test::test_device()),
                       AutoencoderKlConfig::from(io::Config::read(folder + "/config.json")));
}

/// Gradients, flat areas and discs, [1, 3, height, width] in -1..1: no two tiles have the same
/// mean colour.
Tensor coloured_areas(int64_t height, int64_t width) {
  const Tensor x = at::arange(width, at::kFloat).div(width).unsqueeze(0);
  const Tensor y = at::arange(height, at::kFloat).div(height).unsqueeze(1);
  Tensor picture = at::empty({1, 3, height, width}, at::kFloat);
  const Tensor right = x.expand({height, width}).gt(0.5), low = y.expand({height, width}).gt(0.7);
  for (int64_t c = 0; c < 3; ++c) {
    const double share = static_cast<double>(c) / 2.0;
    Tensor plane = x.mul(1.0 - share).add(y.mul(share)).expand({height, width});
    plane = at::where(right, plane.mul(0.0).add(0.9 - 0.8 * share), plane);
    plane = at::where(low, x.mul(0.6).add(0.3 * share).expand({height, width}), plane);
    for (const auto& [cx, cy] : {std::pair{0.25, 0.3}, {0.75, 0.25}, {0.6, 0.85}})
      plane = at::where(x.sub(cx).square().add(y.sub(cy).square()).lt(0.01),
                        plane.mul(0.0).add(1.0 - cx + share * (cx - cy)), plane);
    picture[0][c].copy_(plane.mul(2.0).sub(1.0));
  }
  return picture.to(test::test_device());
}

TEST(Seams, ADecodeInTilesShowsNone) {
  const AutoencoderKl autoencoder = built_in_autoencoder();
  const Tensor latents = autoencoder.encode(coloured_areas(384, 512)).mean;
  const Tensor whole = autoencoder.decode(latents);
  EXPECT_GT(whole.std().item<double>(), 0.2) << "nothing to see";
  const Tensor levels = autoencoder.decode(latents, kTile).sub(whole).abs().div(kGreyLevel);
  RecordProperty("largest_difference", std::to_string(levels.max().item<double>()));
  RecordProperty("mean_difference", std::to_string(levels.mean().item<double>()));
  // Differences below 1/50 of a grey level everywhere leave no step at a tile's border above 1/25.
  EXPECT_LT(levels.max().item<double>(), 0.02);
}

TEST(Seams, AnEncodeInTilesHasNone) {
  const AutoencoderKl autoencoder = built_in_autoencoder();
  const Tensor picture = coloured_areas(384, 512);
  const Posterior whole = autoencoder.encode(picture), tiled = autoencoder.encode(picture, kTile);
  EXPECT_LT(test::largest_difference(tiled.mean, whole.mean), 1e-3);
  EXPECT_LT(test::relative_error(tiled.mean, whole.mean), 1e-5);
  EXPECT_LT(test::relative_error(tiled.logvar, whole.logvar), 1e-5);
}

}  // namespace
}  // namespace sdrbee::vae
