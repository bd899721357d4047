#include "sdrbee/control/open_adapter.h"

#include <ATen/ops/equal.h>

#include <utility>
#include <vector>

#include "sdrbee/control/t2i_adapter.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::control {
namespace {

constexpr const char* kAdapterMarker = "adapter.body.0.resnets.0.block1.weight";
constexpr const char* kOriginalFullMarker = "body.0.block1.weight";
constexpr const char* kOriginalLightMarker = "body.0.body.0.block1.weight";

/// The original counts the resnets of all features through; a feature begins where the channels
/// change, the last one after as many as all others have.
std::vector<io::RenameRule> full_adapter_rules(const io::WeightSource& file) {
  const int64_t resnets = count_numbered(file, "body.", ".block1.weight");
  int64_t for_one = 1;
  while (for_one < resnets && !file.find(message("body.", for_one, ".in_conv.weight"))) ++for_one;
  std::vector<io::RenameRule> rules = {{"conv_in.", {"adapter.conv_in."}}};
  for (int64_t i = 0; i < resnets; ++i) {
    const std::string feature = message("adapter.body.", i / for_one, ".");
    rules.push_back({message("body.", i, "."), {message(feature, "resnets.", i % for_one, ".")}});
    rules.push_back({message("body.", i, ".in_conv."), {feature + "in_conv."}});
  }
  return rules;
}

std::vector<io::RenameRule> light_adapter_rules(const io::WeightSource& file) {
  std::vector<io::RenameRule> rules;
  for (int64_t i = 0; i < count_numbered(file, "body.", ".out_conv.weight"); ++i) {
    const std::string feature = message("body.", i, ".");
    rules.push_back({feature, {"adapter." + feature}});
    rules.push_back({feature + "body.", {message("adapter.", feature, "resnets.")}});
  }
  return rules;
}

/// A T2I-Adapter whose weights are in memory while it is needed.
class LoadedAdapter final : public ControlFromFiles {
 public:
  LoadedAdapter(OpenedControl opened, const T2iAdapterConfig& config, const LoadOptions& options)
      : ControlFromFiles(std::move(opened.files)),
        downscale_(config.downscale),
        network_(opened.component, options,
                 [config](const io::WeightScope& scope) { return T2iAdapter(scope, config); }) {}

  ControlResiduals residuals(const Tensor&, const Tensor&, const Conditioning&,
                             const ControlInput& control) override {
    // The same pictures are shown in step after step.
    if (!image_.defined() || !image_.sizes().equals(control.image.sizes()) ||
        !at::equal(image_, control.image)) {
      features_ = network_.use()(control.image);
      image_ = control.image;
    }
    return {.features = features_};
  }

  bool always_guesses() const override { return false; }

  bool can_soften() const override { return true; }

  int64_t find_type(const std::string& type) const override {
    if (type.empty()) return 0;
    throw InvalidRequest(message(
        "[controls] this T2I-Adapter follows one type of pictures; leave `type` '", type, "' out"));
  }

  void check_size(PixelSize size) const override {
    if (size.width % downscale_ == 0 && size.height % downscale_ == 0) return;
    throw InvalidRequest(
        message("[controls] this T2I-Adapter takes pictures whose sides are "
                "multiples of ",
                downscale_, " but this one is of ", size.width, "x", size.height));
  }

 private:
  int64_t downscale_;
  LazyNetwork<T2iAdapter> network_;
  Tensor image_;                  // what was shown last
  std::vector<Tensor> features_;  // of `image_`
};

}  // namespace

bool is_t2i_adapter(const io::WeightSource& weights) {
  return weights.find(kAdapterMarker) || weights.find(kOriginalFullMarker) ||
         weights.find(kOriginalLightMarker);
}

std::shared_ptr<const io::WeightSource> adapter_weights(
    const std::shared_ptr<const io::WeightSource>& file) {
  if (file->find(kAdapterMarker)) return file;
  return std::make_shared<io::RenamedWeights>(file, file->find(kOriginalFullMarker)
                                                        ? full_adapter_rules(*file)
                                                        : light_adapter_rules(*file));
}

std::shared_ptr<ControlNetwork> load_adapter(OpenedControl opened, const AdapterPlace& place,
                                             const LoadOptions& options, const std::string& path) {
  const T2iAdapterConfig config = T2iAdapterConfig::from(opened.component.config);
  check_fit(config, place, path);
  return std::make_shared<LoadedAdapter>(std::move(opened), config, options);
}

}  // namespace sdrbee::control
