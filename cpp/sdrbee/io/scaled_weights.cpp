#include "sdrbee/io/scaled_weights.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::io {
namespace {

constexpr std::array<std::string_view, 2> kScales = {"scale_weight", "weight_scale"};
// What ComfyUI and ModelOpt store beside them: scales of activations and markers of the format.
constexpr std::array<std::string_view, 4> kUnused = {"scale_input", "input_scale", "scaled_fp8",
                                                     "comfy_quant"};

/// The last part of a name, and what comes before it with the dot.
std::pair<std::string, std::string_view> split_name(const std::string& name) {
  const size_t begin = name.rfind('.') + 1;  // 0 without a dot
  return {name.substr(0, begin), std::string_view(name).substr(begin)};
}

template <size_t kCount>
bool contains(const std::array<std::string_view, kCount>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

class ScaledWeights final : public WeightSource {
 public:
  ScaledWeights(std::shared_ptr<const WeightSource> source,
                std::map<std::string, std::string> scales, std::set<std::string> unused)
      : source_(std::move(source)), scales_(std::move(scales)), hidden_(std::move(unused)) {
    for (const auto& [weight, scale] : scales_) {
      check(weight, scale);
      hidden_.insert(scale);
    }
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> names = source_->names();
    std::erase_if(names, [&](const std::string& name) { return hidden_.contains(name); });
    return names;
  }

  std::optional<WeightInfo> find(const std::string& name) const override {
    if (hidden_.contains(name)) return std::nullopt;
    auto info = source_->find(name);
    if (info && scales_.contains(name)) *info = {.dtype = Dtype::Float, .shape = info->shape};
    return info;
  }

  Tensor read(const std::string& name) const override {
    const auto scale = scales_.find(name);
    if (scale == scales_.end()) return source_->read(name);
    const Tensor values = source_->read(name).to(Dtype::Float);
    const Tensor factors = source_->read(scale->second).to(Dtype::Float);
    // One number, or [rows] -> [rows, 1]
    return values * (factors.numel() == 1 ? factors.reshape({}) : factors.reshape({-1, 1}));
  }

  QuantisedTensor read_blocks(const std::string& name) const override {
    return source_->read_blocks(name);
  }

  std::string origin(const std::string& name) const override { return source_->origin(name); }

 private:
  void check(const std::string& weight, const std::string& scale) const {
    const auto values = source_->find(weight);
    if (!values)
      throw CheckpointError(message("[", source_->origin(weight), "] missing tensor '", weight,
                                    "' that '", scale, "' belongs to"));
    const std::vector<int64_t> shape = source_->find(scale)->shape;
    const int64_t count = c10::multiply_integers(shape);
    const bool by_rows = values->shape.size() == 2 && count == values->shape[0] &&
                         (shape.size() == 1 || shape == std::vector<int64_t>{count, 1});
    if (count != 1 && !by_rows)
      throw CheckpointError(message("[", source_->origin(scale), "] tensor '", scale,
                                    "': expected one number or one a row of ",
                                    shape_text(values->shape), " but got shape ",
                                    shape_text(shape)));
  }

  std::shared_ptr<const WeightSource> source_;
  std::map<std::string, std::string> scales_;  // by the name of the weight
  std::set<std::string> hidden_;
};

}  // namespace

std::shared_ptr<const WeightSource> with_scales(std::shared_ptr<const WeightSource> source) {
  std::map<std::string, std::string> scales;
  std::set<std::string> unused;
  for (const std::string& name : source->names()) {
    const auto [prefix, last] = split_name(name);
    if (contains(kScales, last)) scales[prefix + "weight"] = name;
    if (contains(kUnused, last)) unused.insert(name);
  }
  if (scales.empty() && unused.empty()) return source;
  return std::make_shared<ScaledWeights>(std::move(source), std::move(scales), std::move(unused));
}

}  // namespace sdrbee::io
