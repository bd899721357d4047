#include "sdrbee/control/ip_adapter.h"

#include <ATen/ops/cat.h>

#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/nn/attention.h"

namespace sdrbee::control {
namespace {

constexpr double kNormEps = 1e-5;
constexpr int64_t kProjectedTokens = 4;  // of a base adapter: no tensor tells
constexpr int64_t kHeadWidth = 64;
constexpr int64_t kResamplerFactor = 4;  // its feed-forward layers are wider inside
constexpr const char* kProjected = "image_proj.proj.weight";
constexpr const char* kResampled = "image_proj.latents";

void add_block(std::vector<CrossAttentionPlace>& places, const std::string& path,
               const std::string& name, const UnetBlockConfig& block) {
  for (size_t i = 0; i < block.transformer_layers.size(); ++i)
    for (int64_t layer = 0; layer < block.transformer_layers[i]; ++layer)
      places.push_back(
          {.path = message(path, ".attentions.", i, ".transformer_blocks.", layer, ".attn2"),
           .channels = block.channels,
           .block = name,
           .attention = static_cast<int64_t>(i)});
}

/// The embedding of the whole picture as a few tokens.
class ProjectedTokens final : public PictureTokens {
 public:
  ProjectedTokens(const io::WeightScope& scope, const IpAdapterConfig& config)
      : tokens_(config.tokens),
        proj_(scope / "proj", config.picture, config.tokens * config.context),
        norm_(scope / "norm", config.context, kNormEps) {}

  Tensor operator()(const ClipVisionOutput& picture) const override {
    const Tensor& embeds = picture.image_embeds;
    // [B, tokens*context] -> [B, tokens, context]
    return norm_(proj_(embeds).reshape({embeds.size(0), tokens_, -1}));
  }

 private:
  int64_t tokens_;
  nn::Linear proj_;
  nn::LayerNorm norm_;
};

/// Queries look at the picture and at themselves (PerceiverAttention of the original,
/// https://github.com/tencent-ailab/IP-Adapter/blob/main/ip_adapter/resampler.py), then pass a
/// feed-forward layer; both residual.
class ResamplerLayer {
 public:
  ResamplerLayer(const io::WeightScope& scope, const IpAdapterConfig& config)
      : heads_(config.heads),
        norm1_(scope / "0.norm1", config.width, kNormEps),
        norm2_(scope / "0.norm2", config.width, kNormEps),
        to_q_(scope / "0.to_q", config.width, heads_ * kHeadWidth, /*bias=*/false),
        to_kv_(scope / "0.to_kv", config.width, 2 * heads_ * kHeadWidth, /*bias=*/false),
        to_out_(scope / "0.to_out", heads_ * kHeadWidth, config.width, /*bias=*/false),
        norm3_(scope / "1.0", config.width, kNormEps),
        in_(scope / "1.1", config.width, kResamplerFactor * config.width, /*bias=*/false),
        out_(scope / "1.3", kResamplerFactor * config.width, config.width, /*bias=*/false) {}

  /// `picture` [B, patches, width], `queries` [B, tokens, width] -> as `queries`.
  Tensor operator()(const Tensor& picture, const Tensor& queries) const {
    const Tensor normed = norm2_(queries);
    const std::vector<Tensor> kv =
        to_kv_(at::cat({norm1_(picture), normed}, 1)).chunk(2, /*dim=*/2);
    const Tensor seen =
        nn::attention(to_q_(normed), kv[0].contiguous(), kv[1].contiguous(), heads_);
    const Tensor x = to_out_.add(seen, queries);
    return out_.add(in_.activated(norm3_(x), nn::Activation::Gelu), x);
  }

 private:
  int64_t heads_;
  nn::LayerNorm norm1_;
  nn::LayerNorm norm2_;
  nn::Linear to_q_;
  nn::Linear to_kv_;
  nn::Linear to_out_;
  nn::LayerNorm norm3_;
  nn::Linear in_;
  nn::Linear out_;
};

class ResampledTokens final : public PictureTokens {
 public:
  ResampledTokens(const io::WeightScope& scope, const IpAdapterConfig& config)
      : latents_(scope.take("latents", {1, config.tokens, config.width})),
        proj_in_(scope / "proj_in", config.picture, config.width),
        proj_out_(scope / "proj_out", config.width, config.context),
        norm_out_(scope / "norm_out", config.context, kNormEps) {
    for (int64_t i = 0; i < config.layers; ++i) layers_.emplace_back(scope / "layers" / i, config);
  }

  Tensor operator()(const ClipVisionOutput& picture) const override {
    const Tensor patches = proj_in_(picture.penultimate);
    Tensor queries = latents_.expand({patches.size(0), latents_.size(1), latents_.size(2)});
    for (const ResamplerLayer& layer : layers_) queries = layer(patches, queries);
    return norm_out_(proj_out_(queries));
  }

 private:
  Tensor latents_;  // [1, tokens, width]
  nn::Linear proj_in_;
  std::vector<ResamplerLayer> layers_;
  nn::Linear proj_out_;
  nn::LayerNorm norm_out_;
};

std::unique_ptr<PictureTokens> make_tokens(const io::WeightScope& scope,
                                           const IpAdapterConfig& config) {
  if (config.resamples) return std::make_unique<ResampledTokens>(scope, config);
  return std::make_unique<ProjectedTokens>(scope, config);
}

}  // namespace

std::vector<CrossAttentionPlace> cross_attentions(const Unet2DConditionConfig& unet) {
  std::vector<CrossAttentionPlace> places;
  for (size_t i = 0; i < unet.down_blocks.size(); ++i)
    add_block(places, message("down_blocks.", i), message("down.block_", i), unet.down_blocks[i]);
  for (size_t i = 0; i < unet.up_blocks.size(); ++i)
    add_block(places, message("up_blocks.", i), message("up.block_", i), unet.up_blocks[i]);
  if (unet.mid_block) add_block(places, "mid_block", "mid", *unet.mid_block);
  return places;
}

IpAdapterConfig IpAdapterConfig::told_by(const io::WeightSource& weights) {
  IpAdapterConfig config;
  config.context = extent(weights, "ip_adapter.1.to_k_ip.weight", 1);
  config.resamples = weights.find(kResampled).has_value();
  if (config.resamples) {
    const std::vector<int64_t> latents = shape_of(weights, kResampled, 3);
    config.tokens = latents[1];
    config.width = latents[2];
    config.picture = extent(weights, "image_proj.proj_in.weight", 1);
    config.heads = extent(weights, "image_proj.layers.0.0.to_q.weight", 0) / kHeadWidth;
    config.layers = count_numbered(weights, "image_proj.layers.", ".0.norm1.weight");
    return config;
  }
  if (!weights.find(kProjected))
    throw UnsupportedModel(message("[", weights.origin(""), "] expected an IP-Adapter of the base ",
                                   "or plus kind but it has neither '", kProjected, "' nor '",
                                   kResampled, "' (face models aren't supported)"));
  config.tokens = kProjectedTokens;
  config.picture = extent(weights, kProjected, 1);
  return config;
}

IpAdapter::IpAdapter(const io::WeightScope& scope, const IpAdapterConfig& config,
                     const std::vector<CrossAttentionPlace>& places)
    : tokens_(make_tokens(scope / "image_proj", config)) {
  for (const CrossAttentionPlace& place : places) {
    // The numbers count self-attentions, too.
    const io::WeightScope own = scope / "ip_adapter" / (2 * std::ssize(layers_) + 1);
    layers_.push_back({place.path,
                       {own / "to_k_ip", config.context, place.channels, /*bias=*/false},
                       {own / "to_v_ip", config.context, place.channels, /*bias=*/false}});
  }
}

ExtraContext IpAdapter::operator()(const ClipVisionOutput& pictures, int64_t rows) const {
  const Tensor each = (*tokens_)(pictures);
  // [B*n, tokens, context] -> [B, n*tokens, context]
  const Tensor tokens = each.reshape({rows, -1, each.size(2)});
  ExtraContext context;
  for (const Layer& layer : layers_)
    context.layers[layer.path] = {.keys = layer.to_k_ip(tokens), .values = layer.to_v_ip(tokens)};
  return context;
}

}  // namespace sdrbee::control
