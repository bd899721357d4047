#include "sdrbee/control/open_control.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "sdrbee/control/controlnet.h"
#include "sdrbee/control/open_adapter.h"
#include "sdrbee/control/open_ip_adapter.h"
#include "sdrbee/control/opened_control.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/component_override.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/common/ldm_rename_table.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/models/common/single_file_parts.h"
#include "sdrbee/models/common/unet_denoiser.h"

namespace sdrbee::control {
namespace {

using Source = std::shared_ptr<const io::WeightSource>;

constexpr const char* kOriginalPrefix = "control_model.";
constexpr const char* kOriginalMarker = "input_hint_block.0.weight";
constexpr const char* kMarker = "controlnet_cond_embedding.conv_in.weight";
constexpr const char* kUnionMarker = "task_embedding";
constexpr const char* kUnionLayers = "transformer_layes.";  // as in the files

// What no tensor of a ControlNet tells and what is the same in its UNet.
constexpr std::array kAsInUnet = {"act_fn",
                                  "norm_num_groups",
                                  "norm_eps",
                                  "flip_sin_to_cos",
                                  "freq_shift",
                                  "attention_head_dim",
                                  "num_attention_heads",
                                  "addition_time_embed_dim"};

/// The weights in the names of diffusers.
Source with_current_names(const Source& file) {
  const bool below_prefix = file->find(std::string(kOriginalPrefix) + kOriginalMarker).has_value();
  const Source source = below_prefix ? below(file, kOriginalPrefix) : file;
  if (!source->find(kOriginalMarker)) return source;
  return std::make_shared<io::RenamedWeights>(source,
                                              ldm::controlnet_rules(ldm::unet_layout(*source)));
}

std::vector<int64_t> image_widths(const io::WeightSource& weights) {
  std::vector<int64_t> widths = {extent(weights, kMarker, 0)};
  const std::string blocks = "controlnet_cond_embedding.blocks.";
  for (int64_t i = 1; i < count_numbered(weights, blocks, ".weight"); i += 2)
    widths.push_back(extent(weights, message(blocks, i, ".weight"), 0));
  return widths;
}

/// The configuration that the tensors tell; the rest is as in the model's UNet.
io::Config told_config(const io::WeightSource& weights, const io::Config& unet) {
  ReadConfig read = read_unet_config(weights);
  io::Json told = read.told.json();
  told["_class_name"] = kControlNetClass;
  told["conditioning_channels"] = extent(weights, kMarker, 1);
  told["conditioning_embedding_out_channels"] = image_widths(weights);
  if (weights.find(kUnionMarker)) {
    told["_class_name"] = kUnionClass;
    told["num_control_type"] = extent(weights, kUnionMarker, 0);
    told["num_trans_channel"] = extent(weights, kUnionMarker, 1);
    told["num_trans_layer"] = count_numbered(weights, kUnionLayers, ".ln_1.weight");
  }
  const bool as_wide = unet.int64s_or("block_out_channels", {}) == told["block_out_channels"];
  for (const char* key : kAsInUnet)
    if (as_wide && unet.has(key)) read.untold[key] = unet.json().at(key);
  return io::merged_config(std::move(read.untold), io::Config(std::move(told), read.told.origin()));
}

/// What control networks belong to.
struct ControlledModel {
  io::Config unet;
  AdapterPlace place;
  LoadOptions options;
};

/// What a lone file tells of its network, and the weights in the names of diffusers.
void read_lone_file(io::Component& component, const ControlledModel& model) {
  if (component.class_name == kAdapterClass) {
    component.weights = adapter_weights(component.weights);
    component.config = told_adapter_config(*component.weights, model.place);
  } else if (component.class_name == kControlNetClass) {
    component.weights = with_current_names(component.weights);
    component.config = told_config(*component.weights, model.unet);
  }
}

/// Attention over types with a matrix for each of queries, keys and values.
Source with_split_attention(const Source& source) {
  std::vector<io::RenameRule> rules;
  for (int64_t i = 0; i < count_numbered(*source, kUnionLayers, ".ln_1.weight"); ++i)
    for (const char* kind : {"weight", "bias"}) {
      const std::string attention = message(kUnionLayers, i, ".attn.");
      io::RenameRule split = {attention + "in_proj_" + kind, {}, io::RenameVerb::Split};
      for (const char* part : {"to_q.", "to_k.", "to_v."})
        split.to.push_back(attention + part + kind);
      rules.push_back(std::move(split));
    }
  if (rules.empty()) return source;
  return std::make_shared<io::RenamedWeights>(source, rules);
}

/// A ControlNet whose weights are in memory while it is needed.
class LoadedControl final : public ControlFromFiles {
 public:
  LoadedControl(OpenedControl opened, const ControlNetConfig& config, const LoadOptions& options)
      : ControlFromFiles(std::move(opened.files)),
        always_guesses_(config.global_pool_conditions),
        types_(config.fusion ? config.fusion->types : 0),
        network_(opened.component, options,
                 [config](const io::WeightScope& scope) { return ControlNet(scope, config); }) {}

  ControlResiduals residuals(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning,
                             const ControlInput& control) override {
    return network_.use()(latents, timesteps, unet_inputs(conditioning), control);
  }

  bool always_guesses() const override { return always_guesses_; }

  bool can_soften() const override { return true; }

  int64_t find_type(const std::string& type) const override {
    if (types_ > 0) return find_control_type(type, types_);
    if (type.empty() || type == kInpaintType) return 0;
    throw InvalidRequest(message("[controls] this ControlNet follows one type of pictures; leave ",
                                 "`type` '", type, "' out ('", kInpaintType,
                                 "' is for those that repaint)"));
  }

 private:
  bool always_guesses_;
  int64_t types_;  // 0: it follows one type
  LazyNetwork<ControlNet> network_;
};

}  // namespace

bool is_unet_controlnet(const io::WeightSource& weights) {
  return weights.find(std::string(kOriginalPrefix) + kOriginalMarker) ||
         weights.find(kOriginalMarker) || weights.find(kMarker);
}

std::function<std::shared_ptr<ControlNetwork>(const std::string& path)> unet_controls(
    const io::Checkpoint& checkpoint, LoadOptions options) {
  options.adapters = nullptr;  // LoRAs change the model, not what steers it
  const io::Config& unet = checkpoint.component("unet").config;
  const auto widths = checkpoint.component("vae").config.int64s_or("block_out_channels", {1});
  const ControlledModel model{.unet = unet,
                              .place = AdapterPlace::of(Unet2DConditionConfig::from(unet),
                                                        int64_t{1} << (widths.size() - 1)),
                              .options = std::move(options)};
  return [model](const std::string& given) -> std::shared_ptr<ControlNetwork> {
    OpenedControl opened = open_control(given);
    const Unet2DConditionConfig unet_config = Unet2DConditionConfig::from(model.unet);
    require_class(opened, {kControlNetClass, kUnionClass, kAdapterClass, kIpAdapterClass},
                  models_of(unet_config));
    if (opened.lone_file) read_lone_file(opened.component, model);
    if (opened.component.class_name == kIpAdapterClass)
      return load_ip_adapter(std::move(opened), unet_config, model.options);
    if (opened.component.class_name == kAdapterClass)
      return load_adapter(std::move(opened), model.place, model.options, given);
    opened.component.weights = with_split_attention(opened.component.weights);
    const ControlNetConfig config = ControlNetConfig::from(opened.component.config);
    check_fit(config, unet_config, given);
    return std::make_shared<LoadedControl>(std::move(opened), config, model.options);
  };
}

}  // namespace sdrbee::control
