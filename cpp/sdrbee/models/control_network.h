// Networks beside the denoiser that read a picture and steer it.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/core/error.h"
#include "sdrbee/core/image.h"
#include "sdrbee/core/rng.h"
#include "sdrbee/models/block_factors.h"
#include "sdrbee/models/conditioning.h"

namespace sdrbee {

/// Keys and values that cross-attentions of a UNet look at beside those of the text.
struct ExtraContext {
  struct KeysValues {
    Tensor keys;          // [B, tokens, channels]
    Tensor values;        // likewise
    Tensor factors = {};  // [B, 1, 1] of the strengths here; undefined: 1
  };
  std::map<std::string, KeysValues> layers = {};  // by the attention's path in the network
  Tensor strengths = {};                          // [B, 1, 1], scale of what is seen there
  /// [B, pictures, H, W] in 0..1 over the picture that is made: the tokens are of so many pictures
  /// one behind the other, and each is looked at alone, where its mask is. Undefined: all are
  /// looked at together, everywhere.
  Tensor masks = {};
};

class Autoencoder;

/// What a control network adds inside the denoiser; each tensor is of the shape of what it is added
/// to, or [B, C, 1, 1] where the network gives one value for a whole channel. In a UNet a
/// ControlNet gives skips and middle, a T2I-Adapter features, an IP-Adapter contexts; in a
/// transformer a ControlNet gives blocks and single_blocks.
struct ControlResiduals {
  std::vector<Tensor> skips = {};  // one for each skip connection, from the highest resolution down
  Tensor middle = {};              // to what leaves the middle block
  /// To what comes out of the down blocks, in their order, see UnetEncoder::down; one more, where
  /// it is of its shape, to what leaves the middle block.
  std::vector<Tensor> features = {};
  std::vector<ExtraContext> contexts = {};
  /// To the picture's tokens behind each block that keeps text and picture apart, from the first
  /// one on; none behind those at the end for which there is no tensor. One tensor may stand for
  /// several blocks.
  std::vector<Tensor> blocks = {};
  std::vector<Tensor> single_blocks = {};  // likewise behind blocks over one sequence of both
};

/// A picture that a control network is to follow, and where to repaint it.
struct ControlPicture {
  Tensor levels;     // [1, 3, H, W] fp32 in 0..1, at the size of the picture that is made
  Tensor mask = {};  // [1, 1, H, W] in 0..1, of kInpaintType; else undefined
};

/// The type of a picture that is -1 where the request's mask is white, for networks that repaint.
inline constexpr const char* kInpaintType = "inpaint";

/// A ControlNet (Zhang et al. 2023, arXiv:2302.05543) T2I-Adapter (Mou et al. 2023,
/// arXiv:2302.08453) or IP-Adapter (Ye et al. 2023, arXiv:2308.06721), loaded for one model. Use it
/// from the thread that uses the model.
class ControlNetwork {
 public:
  virtual ~ControlNetwork() = default;

  /// `latents` [B, C, h, w] and `timesteps` [B] as Denoiser::predict is given them, `conditioning`
  /// and `control` of as many rows; strengths are left to the caller.
  virtual ControlResiduals residuals(const Tensor& latents, const Tensor& timesteps,
                                     const Conditioning& conditioning,
                                     const ControlInput& control) = 0;

  /// Whether it always runs in guess mode (networks that see no places, such as "shuffle").
  virtual bool always_guesses() const = 0;

  /// Whether soften() has an effect: it adds to the UNet at several resolutions.
  virtual bool can_soften() const { return false; }

  /// The index of what a picture shows ("canny", "depth", ...), for networks that follow pictures
  /// of several types; for all others an empty type or, where they take it, kInpaintType. Throws
  /// InvalidRequest that names those it has.
  virtual int64_t find_type(const std::string& type) const = 0;

  /// Pictures as the network itself cuts and scales them, [1, pictures, 3, h, w]; nothing where it
  /// takes what prepare() makes of one picture at the size of the one that is made.
  virtual std::optional<Tensor> own_view(std::span<const Image>) const { return std::nullopt; }

  /// What the strength is multiplied by at each place where the network acts, [1, places] fp32,
  /// for a request that names blocks. Throws InvalidRequest for blocks that do not exist, and for
  /// networks that act in the same way everywhere.
  virtual Tensor place_factors(const BlockFactors&) const {
    throw InvalidRequest("[controls] `blocks` are for IP-Adapters; leave them out for others");
  }

  /// What the network is shown of a picture, [1, ...]: by default its levels, -1 where it is to be
  /// repainted (https://huggingface.co/lllyasviel/control_v11p_sd15_inpaint). `autoencoder` is the
  /// model's; what is drawn comes from `noise`.
  virtual Tensor prepare(const ControlPicture& picture, Autoencoder&, NoiseSource&) {
    if (!picture.mask.defined()) return picture.levels;
    return picture.levels.masked_fill(picture.mask.gt(0.5), -1.0);
  }

  /// Whether the negative prompt's row gets what the network makes of the prompt's row.
  virtual bool follows_prompt_alone() const { return false; }

  /// Whether the negative prompt's row is shown a blank picture, all 0, instead.
  virtual bool blanks_base() const { return false; }

  /// Throws InvalidRequest when it takes no pictures of this size.
  virtual void check_size(PixelSize) const {}

  /// SHA-256 over the network's files, as hexadecimal text; computed at the first call.
  virtual const std::string& sha256() = 0;
};

}  // namespace sdrbee
