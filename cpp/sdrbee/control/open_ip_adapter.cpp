#include "sdrbee/control/open_ip_adapter.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "sdrbee/control/place_factors.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/diffusers_folder.h"
#include "sdrbee/io/renamed_weights.h"
#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::control {
namespace {

constexpr const char* kFirstKeys = "ip_adapter.1.to_k_ip.weight";
constexpr const char* kVisionClass = "CLIPVisionModelWithProjection";
constexpr std::array kEncoderFolders = {"image_encoder", "../models/image_encoder"};

/// The channels that an encoder gives an adapter of this kind.
int64_t channels_for(const IpAdapterConfig& adapter, const ClipVisionConfig& encoder) {
  return adapter.resamples ? encoder.hidden_size : encoder.projection_dim;
}

/// The first encoder near `path` that fits.
OpenedControl find_encoder(const std::filesystem::path& path, const IpAdapterConfig& adapter) {
  std::string found;
  for (const char* name : kEncoderFolders) {
    const std::filesystem::path folder = (path.parent_path() / name).lexically_normal();
    if (!std::filesystem::exists(folder / "config.json")) continue;
    OpenedControl opened;
    opened.component = io::open_component_folder(
        folder, {"control image_encoder", "transformers", kVisionClass}, "", opened.files);
    const int64_t channels = channels_for(adapter, ClipVisionConfig::from(opened.component.config));
    if (channels == adapter.picture) return opened;
    found += message("; '", folder.string(), "' gives ", channels);
  }
  throw CheckpointError(message("[controls] '", path.string(), "' needs a ", kVisionClass,
                                " that gives ", adapter.picture, " channels in a folder '",
                                kEncoderFolders.front(), "' beside it", found));
}

io::Component with_layer_names(io::Component encoder) {
  encoder.weights =
      std::make_shared<io::RenamedWeights>(encoder.weights, vision_rules(*encoder.weights));
  return encoder;
}

void check_places(const io::WeightSource& weights, const IpAdapterConfig& config,
                  const Unet2DConditionConfig& unet,
                  const std::vector<CrossAttentionPlace>& places) {
  const auto name = [](size_t i) { return message("ip_adapter.", 2 * i + 1, ".to_k_ip.weight"); };
  bool fits = !weights.find(name(places.size())) &&
              unet.down_blocks.front().cross_attention_dim == config.context;
  for (size_t i = 0; fits && i < places.size(); ++i)
    fits = weights.find(name(i)) && extent(weights, name(i), 0) == places[i].channels;
  if (fits) return;
  throw InvalidRequest(message("[controls] '", weights.origin(""), "' is an IP-Adapter for ",
                               "another kind of model: its ", config.context,
                               " channels or its attentions are not those of this UNet"));
}

/// An IP-Adapter whose weights, and those of its encoder, are in memory while they are needed.
class LoadedIpAdapter final : public ControlFromFiles {
 public:
  struct Parts {
    OpenedControl adapter;
    IpAdapterConfig config;
    std::vector<CrossAttentionPlace> places;
    OpenedControl encoder;
  };

  LoadedIpAdapter(Parts parts, const LoadOptions& options)
      : ControlFromFiles(std::move(parts.adapter.files)),
        places_(std::move(parts.places)),
        encoder_config_(ClipVisionConfig::from(parts.encoder.component.config)),
        encoder_(with_layer_names(std::move(parts.encoder.component)), options,
                 [config = encoder_config_](const io::WeightScope& scope) {
                   return ClipVisionEncoder(scope, config);
                 },
                 {"position_ids"}),
        adapter_(parts.adapter.component, options,
                 [config = parts.config, places = places_](const io::WeightScope& scope) {
                   return IpAdapter(scope, config, places);
                 }) {
    add_files(parts.encoder.files);
  }

  ControlResiduals residuals(const Tensor&, const Tensor&, const Conditioning&,
                             const ControlInput& control) override {
    // The same pictures are shown in step after step.
    if (!image_.defined() || !image_.sizes().equals(control.image.sizes()) ||
        !at::equal(image_, control.image)) {
      context_ = context_of(control.image);
      image_ = control.image;
    }
    return {.contexts = {where_it_acts(control)}};
  }

  bool always_guesses() const override { return false; }

  int64_t find_type(const std::string& type) const override {
    if (type.empty()) return 0;
    throw InvalidRequest(
        message("[controls] an IP-Adapter takes any picture; leave `type` '", type, "' out"));
  }

  std::optional<Tensor> own_view(std::span<const Image> images) const override {
    std::vector<Tensor> pixels;
    for (const Image& image : images)
      pixels.push_back(clip_pixels(image, encoder_config_.image_size));
    return at::cat(pixels).unsqueeze(0);
  }

  Tensor place_factors(const BlockFactors& blocks) const override {
    return control::place_factors(blocks, places_);
  }

  bool blanks_base() const override { return true; }

 private:
  /// `pictures` [B, n, 3, h, w].
  ExtraContext context_of(const Tensor& pictures) {
    const Tensor pixels = pictures.flatten(0, 1);
    ClipVisionOutput encoded = encoder_.use()(pixels);
    // A blank picture stands for none: its embedding is 0, while a resampler sees its patches.
    const Tensor blank = pixels.flatten(1).eq(0).all(1, /*keepdim=*/true);  // [B*n, 1]
    encoded.image_embeds = encoded.image_embeds.masked_fill(blank, 0.0);
    return adapter_.use()(encoded, pictures.size(0));
  }

  /// The context with what a request says of its places; those where nothing acts are left out.
  ExtraContext where_it_acts(const ControlInput& control) const {
    ExtraContext context = context_;
    context.masks = control.masks;
    if (!control.factors.defined()) return context;
    for (size_t i = 0; i < places_.size(); ++i) {
      const Tensor factors = control.factors.select(1, static_cast<int64_t>(i));
      if (factors.any().item<bool>())
        context.layers.at(places_[i].path).factors = factors.reshape({-1, 1, 1});
      else
        context.layers.erase(places_[i].path);
    }
    return context;
  }

  std::vector<CrossAttentionPlace> places_;
  ClipVisionConfig encoder_config_;
  LazyNetwork<ClipVisionEncoder> encoder_;
  LazyNetwork<IpAdapter> adapter_;
  Tensor image_;          // what was shown last
  ExtraContext context_;  // of `image_`
};

}  // namespace

bool is_ip_adapter(const io::WeightSource& weights) { return weights.find(kFirstKeys).has_value(); }

std::shared_ptr<ControlNetwork> load_ip_adapter(OpenedControl opened,
                                                const Unet2DConditionConfig& unet,
                                                const LoadOptions& options) {
  const io::WeightSource& weights = *opened.component.weights;
  const IpAdapterConfig config = IpAdapterConfig::told_by(weights);
  std::vector<CrossAttentionPlace> places = cross_attentions(unet);
  check_places(weights, config, unet, places);
  OpenedControl encoder = find_encoder(opened.path, config);
  return std::make_shared<LoadedIpAdapter>(
      LoadedIpAdapter::Parts{std::move(opened), config, std::move(places), std::move(encoder)},
      options);
}

}  // namespace sdrbee::control
