// IP-Adapter for Stable Diffusion 1.x and XL (Ye et al. 2023, arXiv:2308.06721).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sdrbee/control/clip_vision.h"
#include "sdrbee/models/common/unet_2d_condition_config.h"
#include "sdrbee/models/control_network.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::control {

/// A cross-attention of a UNet.
struct CrossAttentionPlace {
  std::string path;       ///< within the network
  int64_t channels = 0;   ///< of its keys
  std::string block;      ///< as users name it: "down.block_1", "mid"
  int64_t attention = 0;  ///< which transformer of the block it is in
};

/// The cross-attentions of a UNet in the order in which IP-Adapters count them: down, up, middle.
std::vector<CrossAttentionPlace> cross_attentions(const Unet2DConditionConfig& unet);

/// The sizes of an IP-Adapter, which its tensors tell.
struct IpAdapterConfig {
  int64_t picture = 1024;  ///< channels of what the picture encoder gives
  int64_t context = 768;   ///< channels of the tokens that the UNet's attentions see
  int64_t tokens = 4;      ///< that are made of a picture
  /// "plus": the tokens are resampled from all patches of the picture, not projected from the one
  /// embedding of it.
  bool resamples = false;
  int64_t width = 768;  ///< of the resampler
  int64_t heads = 12;   ///< likewise
  int64_t layers = 4;   ///< likewise

  /// Throws CheckpointError when the tensors are no whole IP-Adapter, and UnsupportedModel for
  /// kinds other than the base and plus ones.
  static IpAdapterConfig told_by(const io::WeightSource& weights);
};

/// What makes tokens of a picture: ImageProjection and IPAdapterPlusImageProjection of diffusers.
class PictureTokens {
 public:
  virtual ~PictureTokens() = default;

  /// [B, tokens, context] of an encoded picture.
  virtual Tensor operator()(const ClipVisionOutput& picture) const = 0;
};

/// The adapter without its picture encoder.
class IpAdapter {
 public:
  /// Takes `image_proj` and `ip_adapter`. Throws CheckpointError for missing or wrong weights.
  IpAdapter(const io::WeightScope& scope, const IpAdapterConfig& config,
            const std::vector<CrossAttentionPlace>& places);

  /// What the attentions of the UNet see of [B*n] pictures, n behind each other in a row of B;
  /// strengths are left open.
  ExtraContext operator()(const ClipVisionOutput& pictures, int64_t rows) const;

 private:
  /// A cross-attention and what makes its keys and values.
  struct Layer {
    std::string path;
    nn::Linear to_k_ip;
    nn::Linear to_v_ip;
  };

  std::unique_ptr<PictureTokens> tokens_;
  std::vector<Layer> layers_;
};

}  // namespace sdrbee::control
