#include "sdrbee/vae/stage.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/vae/tiling.h"

namespace sdrbee::vae {
namespace {

/// Joins the moments of parts into those of the whole.
/// Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample
/// variances", eq. 2.1.
class MomentsOfParts {
 public:
  explicit MomentsOfParts(int64_t groups) : groups_(groups) {}

  void add(const Tensor& part) {
    const nn::GroupMoments moments = nn::group_moments(part, groups_);
    const auto pixels = static_cast<double>(part.size(2) * part.size(3));
    if (pixels_ == 0.0) {
      whole_ = moments;
    } else {
      const double share = pixels / (pixels_ + pixels);
      const Tensor step = moments.mean - whole_.mean;
      whole_.mean = whole_.mean + step * share;
      whole_.variance = whole_.variance * (1.0 - share) + moments.variance * share +
                        step * step * (share * (1.0 - share));
    }
    pixels_ += pixels;
  }

  const nn::GroupMoments& whole() const { return whole_; }

 private:
  int64_t groups_;
  double pixels_ = 0.0;
  nn::GroupMoments whole_;
};

}  // namespace

Tensor Stage::run(Tensor x) const {
  if (before) x = before(x);
  for (const nn::ResnetBlock& resnet : resnets) x = resnet(std::move(x));
  if (norm != nullptr) x = norm->silu(std::move(x));
  return after ? after(x) : x;
}

Tensor Stage::run_part(const Tensor& part, std::span<const nn::GroupMoments> moments) const {
  Tensor x = before ? before(part) : part;
  for (const nn::ResnetBlock& resnet : resnets) {
    if (moments.empty()) return x;
    if (moments.size() == 1) return resnet.hidden(x, moments[0]);
    x = resnet(x, moments[0], moments[1]);
    moments = moments.subspan(2);
  }
  if (norm != nullptr) {
    if (moments.empty()) return x;
    x = norm->silu(x, moments[0]);
  }
  return after ? after(x) : x;
}

Tensor Stage::run_in_tiles(Tensor x, int64_t tile) const {
  if (input == output) return run(std::move(x));
  // How far pixels reach: one with each 3x3 convolution of the upper resolution, of which there are
  // two in a block and up to three (one and one with stride 2) around the blocks.
  const int64_t halo = std::ssize(resnets) + 2;
  const Tiling tiling{.tile = std::max(tile, 4 * halo), .halo = halo};
  const int64_t height = x.size(2) / input, width = x.size(3) / input;
  if (height <= tiling.tile && width <= tiling.tile) return run(std::move(x));
  std::vector<nn::GroupMoments> moments;
  while (moments.size() < norm_count()) {
    const bool in_block = moments.size() < 2 * resnets.size();
    MomentsOfParts parts(in_block ? resnets[moments.size() / 2].groups() : norm->groups());
    for_each_tile(height, width, tiling, [&](const Tile& one) {
      parts.add(one.own(run_part(one.seen(x, input), moments)));
    });
    moments.push_back(parts.whole());
  }
  return compute_in_tiles(x, input, output, tiling,
                          [&](const Tensor& part) { return run_part(part, moments); });
}

Tensor run_stages(std::span<const Stage> stages, Tensor x, const std::optional<int64_t>& tile) {
  for (const Stage& stage : stages)
    x = tile ? stage.run_in_tiles(std::move(x), *tile) : stage.run(std::move(x));
  return x;
}

}  // namespace sdrbee::vae
