// AutoencoderKL behind the Autoencoder interface: scaling factors and dtypes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/vae/autoencoder_kl.h"

namespace sdrbee {

/// The autoencoder of one checkpoint, whose halves are in memory each for itself. Its latents are
/// in the denoiser's scale: (latents - shift_factor) * scaling_factor, or with statistics of the
/// latents' channels (latents - latents_mean) * scaling_factor / latents_std. A picture that
/// doesn't fit into memory as a whole is encoded or decoded in tiles, with a warning.
class KlAutoencoder final : public Autoencoder {
 public:
  KlAutoencoder(const io::Component& component, const LoadOptions& options);

  LatentPosterior encode(const Tensor& picture) override;
  Tensor decode(const Tensor& latents) override;
  std::vector<std::string> take_warnings() override;

 private:
  /// work() on the whole, or, when that runs out of memory and the picture's longest side allows
  /// for tiles, work(tile) with a warning that the picture was <verb> in tiles.
  template <typename Work>
  auto whole_or_in_tiles(int64_t picture_side, const char* verb, const Work& work);

  vae::AutoencoderKlConfig config_;
  LazyNetwork<vae::AutoencoderKl> encoder_;
  LazyNetwork<vae::AutoencoderKl> decoder_;
  Tensor shift_;      // [1, C or 1, 1, 1]
  Tensor deviation_;  // [1, C or 1, 1, 1]
  std::vector<std::string> warnings_;
};

/// "vae" of the checkpoint. With `upcast` it is loaded in single precision when its configuration
/// says that it overflows in half precision (`force_upcast`).
std::unique_ptr<Autoencoder> load_autoencoder(const io::Checkpoint& checkpoint, LoadOptions options,
                                              bool upcast = false);

}  // namespace sdrbee
