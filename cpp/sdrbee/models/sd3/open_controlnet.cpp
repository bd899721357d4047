#include "sdrbee/models/sd3/open_controlnet.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include <utility>
#include <vector>

#include "sdrbee/control/opened_control.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/models/image_model.h"
#include "sdrbee/models/sd3/controlnet.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee::sd3 {
namespace {

using Source = std::shared_ptr<const io::WeightSource>;

/// What ControlNets belong to.
struct ControlledTransformer {
  io::Component component;
  TransformerConfig config;
  vae::AutoencoderKlConfig vae;
  LoadOptions options;
};

/// The weights in the names of diffusers.
Source with_current_names(const Source& file) {
  std::vector<io::RenameRule> rules;
  for (int64_t i = 0; i < count_numbered(*file, "transformer_blocks.", ".attn.qkv.weight"); ++i) {
    const std::string block = message("transformer_blocks.", i, ".");
    rules.push_back({block + "attn.qkv.",
                     {block + "attn.to_q.", block + "attn.to_k.", block + "attn.to_v."},
                     io::RenameVerb::Split});
    rules.push_back({block + "attn.proj.", {block + "attn.to_out.0."}});
    rules.push_back({block + "mlp.fc1.", {block + "ff.net.0.proj."}});
    rules.push_back({block + "mlp.fc2.", {block + "ff.net.2."}});
    rules.push_back({block + "adaLN_modulation.1.", {block + "norm1.linear."}});
  }
  if (rules.empty()) return file;
  return std::make_shared<io::RenamedWeights>(file, rules);
}

/// The ControlNet's weights, and the embedding of patches that it shares with the transformer.
Source with_patches_of(const io::Component& transformer, const Source& control) {
  const auto patches = std::make_shared<io::RenamedWeights>(
      std::make_shared<io::SubsetWeights>(transformer.weights, "pos_embed."),
      std::vector<io::RenameRule>{{"proj.", {"pos_embed.proj."}},
                                  {"pos_embed", {"pos_embed.pos_embed"}}});
  return std::make_shared<io::MergedWeights>(std::vector<Source>{control, patches},
                                             control->origin(""));
}

class Sd3Control final : public control::ControlFromFiles {
 public:
  Sd3Control(control::OpenedControl opened, const ControlNetConfig& config,
             const ControlledTransformer& model)
      : ControlFromFiles(std::move(opened.files)),
        config_(config),
        base_layers_(model.config.num_layers),
        cell_(model.vae.downscale()),
        shift_(model.vae.shift_factor.value_or(0.0) * model.vae.scaling_factor),
        network_(opened.component, model.options,
                 [config](const io::WeightScope& scope) { return ControlNet(scope, config); }) {}

  ControlResiduals residuals(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning,
                             const ControlInput& control) override {
    const Tensor& pooled = conditioning.pooled;
    const std::vector<Tensor> own =
        network_.use()({.latents = latents,
                        .shown = control.image,
                        .timesteps = timesteps,
                        .context = conditioning.context,
                        .pooled = config_.zero_pooled() ? at::zeros_like(pooled) : pooled});
    // Each stands for as many blocks of the transformer as the next one; none is added to the last.
    ControlResiduals result;
    const double interval = static_cast<double>(base_layers_) / static_cast<double>(own.size());
    for (int64_t block = 0; block + 1 < base_layers_; ++block)
      result.blocks.push_back(own[static_cast<size_t>(static_cast<double>(block) / interval)]);
    return result;
  }

  /// The mean of the posterior: diffusers draws from a generator that no seed sets.
  Tensor prepare(const ControlPicture& picture, Autoencoder& autoencoder, NoiseSource&) override {
    Tensor values = picture.levels.mul(2.0).sub(1.0);
    if (!config_.sees_mask) {
      const Tensor latents = autoencoder.encode(values).mean;
      return config_.without_shift() ? latents.add(shift_) : latents;
    }
    const Tensor masked = picture.mask.gt(0.5);
    const Tensor latents = autoencoder.encode(values.masked_fill(masked, -1.0)).mean;
    const Tensor kept = mask_by_cells(masked.to(at::kFloat), cell_).neg().add(1.0);
    return at::cat({latents, kept}, 1);
  }

  bool always_guesses() const override { return false; }

  int64_t find_type(const std::string& type) const override {
    if (type == (config_.sees_mask ? kInpaintType : "")) return 0;
    if (config_.sees_mask)
      throw InvalidRequest(message("[controls] this ControlNet repaints; expected `type` '",
                                   kInpaintType, "', with an image and a mask, but got '", type,
                                   "'"));
    throw InvalidRequest(message("[controls] this ControlNet follows one type of pictures; leave ",
                                 "`type` '", type, "' out"));
  }

  void check_size(PixelSize size) const override {
    const int64_t largest =
        config_.transformer.pos_embed_max_size * config_.transformer.patch_size * cell_;
    if (!config_.has_positions || (size.width <= largest && size.height <= largest)) return;
    throw InvalidRequest(message("[controls] this ControlNet takes pictures of at most ", largest,
                                 " pixels on a side but this one is of ", size.width, "x",
                                 size.height));
  }

 private:
  ControlNetConfig config_;
  int64_t base_layers_;
  int64_t cell_;  // pixels on a side of one of the latents
  double shift_;  // of the autoencoder, in the scale of the denoiser
  LazyNetwork<ControlNet> network_;
};

}  // namespace

std::function<std::shared_ptr<ControlNetwork>(const std::string& path)> controlnets(
    const io::Checkpoint& checkpoint, LoadOptions options) {
  options.adapters = nullptr;  // LoRAs change the model, not what steers it
  const io::Component& transformer = checkpoint.component("transformer");
  const ControlledTransformer model{
      .component = transformer,
      .config = TransformerConfig::from(transformer.config),
      .vae = vae::AutoencoderKlConfig::from(checkpoint.component("vae").config),
      .options = std::move(options)};
  return [model](const std::string& path) -> std::shared_ptr<ControlNetwork> {
    control::OpenedControl opened = control::open_control(path);
    require_class(opened, {control::kSd3Class}, "Stable Diffusion 3");
    io::Component& component = opened.component;
    if (opened.lone_file) {
      component.weights = with_current_names(component.weights);
      component.config = read_controlnet_config(*component.weights, model.component.config);
    }
    ControlNetConfig config = ControlNetConfig::from(component.config);
    check_fit(config, model.config, path);
    if (!config.own_patches) {
      component.weights = with_patches_of(model.component, component.weights);
      config.transformer.pos_embed_max_size = model.config.pos_embed_max_size;
    }
    return std::make_shared<Sd3Control>(std::move(opened), config, model);
  };
}

}  // namespace sdrbee::sd3
