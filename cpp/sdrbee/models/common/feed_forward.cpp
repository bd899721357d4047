#include "sdrbee/models/common/feed_forward.h"

namespace sdrbee {
namespace {

constexpr int64_t kInnerFactor = 4;

}  // namespace

FeedForward::FeedForward(const io::WeightScope& scope, int64_t width)
    : proj_(scope / "net.0.proj", width, kInnerFactor * width),
      out_(scope / "net.2", kInnerFactor * width, width) {}

Tensor FeedForward::operator()(const Tensor& x) const {
  return out_(proj_.activated(x, nn::Activation::GeluTanh));
}

}  // namespace sdrbee
