#include "sdrbee/models/flux/open_controlnet.h"

#include <ATen/ops/full.h>

#include <utility>
#include <vector>

#include "sdrbee/control/opened_control.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/models/flux/controlnet.h"
#include "sdrbee/models/flux/denoiser.h"
#include "sdrbee/models/flux/rename_table.h"
#include "sdrbee/models/image_model.h"

namespace sdrbee::flux {
namespace {

using Source = std::shared_ptr<const io::WeightSource>;

// What a network with guidance is given beside a model that takes none (FLUX.1 schnell): the
// default of diffusers' FluxPipeline.
constexpr double kUsualGuidance = 3.5;

/// What ControlNets belong to.
struct ControlledTransformer {
  io::Config config;
  LoadOptions options;
};

/// The weights in the names of diffusers.
Source with_current_names(const Source& file) {
  if (!file->find("pos_embed_input.weight")) return file;
  std::vector<io::RenameRule> rules = transformer_rules(*file);
  rules.push_back({"pos_embed_input.", {"controlnet_x_embedder."}});
  // Convolutions with an activation behind each but the last.
  int64_t last = 0;
  while (file->find(message("input_hint_block.", last + 2, ".weight"))) last += 2;
  rules.push_back({"input_hint_block.0.", {"input_hint_block.conv_in."}});
  for (int64_t i = 2; i < last; i += 2)
    rules.push_back({message("input_hint_block.", i, "."),
                     {message("input_hint_block.blocks.", i / 2 - 1, ".")}});
  rules.push_back({message("input_hint_block.", last, "."), {"input_hint_block.conv_out."}});
  return std::make_shared<io::RenamedWeights>(file, rules);
}

/// The ControlNet's tensors, each for several blocks of the transformer: for as many in a row, or
/// over and over.
std::vector<Tensor> for_blocks(const std::vector<Tensor>& own, int64_t blocks, bool over_and_over) {
  std::vector<Tensor> result;
  if (own.empty()) return result;
  const int64_t count = std::ssize(own);
  const int64_t in_a_row = (blocks + count - 1) / count;
  for (int64_t block = 0; block < blocks; ++block)
    result.push_back(own[static_cast<size_t>(over_and_over ? block % count : block / in_a_row)]);
  return result;
}

class FluxControl final : public control::ControlFromFiles {
 public:
  FluxControl(control::OpenedControl opened, const ControlNetConfig& config,
              const ControlledTransformer& model)
      : ControlFromFiles(std::move(opened.files)),
        config_(config),
        base_(TransformerConfig::from(model.config)),
        dtype_(model.options.dtype),
        network_(opened.component, model.options,
                 [config](const io::WeightScope& scope) { return ControlNet(scope, config); }) {}

  ControlResiduals residuals(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning,
                             const ControlInput& control) override {
    TransformerInputs inputs = transformer_inputs(latents, timesteps, conditioning, dtype_);
    if (!inputs.guidance.defined())
      inputs.guidance = at::full({latents.size(0)}, kUsualGuidance, at::kDouble);
    const ControlNet::Residuals own =
        network_.use()(inputs, {.image = control.image, .mode = control.type});
    return {.blocks = for_blocks(own.blocks, base_.num_layers, has_convolutions()),
            .single_blocks = for_blocks(own.single_blocks, base_.num_single_layers, false)};
  }

  Tensor prepare(const ControlPicture& picture, Autoencoder& autoencoder,
                 NoiseSource& noise) override {
    const Tensor values = picture.levels.mul(2.0).sub(1.0);
    if (has_convolutions()) return values;
    const LatentPosterior posterior = autoencoder.encode(values);
    return posterior.sample(noise.normal(posterior.mean.sizes()));
  }

  bool always_guesses() const override { return false; }

  // As in diffusers, where a guide against the negative prompt gets the prompt's residuals.
  bool follows_prompt_alone() const override { return true; }

  int64_t find_type(const std::string& type) const override {
    if (config_.modes > 0) return find_mode(type, config_.modes);
    if (type.empty()) return 0;
    throw InvalidRequest(message("[controls] this ControlNet follows one type of pictures; leave ",
                                 "`type` '", type, "' out"));
  }

 private:
  /// XLabs' networks.
  bool has_convolutions() const { return config_.hint_channels > 0; }

  ControlNetConfig config_;
  TransformerConfig base_;
  Dtype dtype_;
  LazyNetwork<ControlNet> network_;
};

}  // namespace

std::function<std::shared_ptr<ControlNetwork>(const std::string& path)> controlnets(
    const io::Checkpoint& checkpoint, LoadOptions options) {
  options.adapters = nullptr;  // LoRAs change the model, not what steers it
  const ControlledTransformer model{.config = checkpoint.component("transformer").config,
                                    .options = std::move(options)};
  return [model](const std::string& path) -> std::shared_ptr<ControlNetwork> {
    control::OpenedControl opened = control::open_control(path);
    require_class(opened, {control::kFluxClass}, "FLUX.1");
    io::Component& component = opened.component;
    if (opened.lone_file) {
      component.weights = with_current_names(component.weights);
      component.config = read_controlnet_config(*component.weights, model.config);
    }
    const ControlNetConfig config = ControlNetConfig::from(component.config);
    check_fit(config, TransformerConfig::from(model.config), path);
    return std::make_shared<FluxControl>(std::move(opened), config, model);
  };
}

}  // namespace sdrbee::flux
