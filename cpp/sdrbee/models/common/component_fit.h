// Checks that the components of a checkpoint belong together.
#pragma once

#include <span>
#include <string>
#include <utility>

#include "sdrbee/io/checkpoint.h"

namespace sdrbee {

/// A field of a component must have the value that another component asks for, `reason`.
/// Throws CheckpointError naming file, field and both numbers.
void require_equal(const io::Component& part, const char* field, int64_t actual, int64_t expected,
                   const std::string& reason);
void require_at_least(const io::Component& part, const char* field, int64_t actual, int64_t least,
                      const std::string& reason);

/// A field of several components with its values, for messages: "the 'x' of a (1) plus the 'x' of b
/// (2)".
std::string summed_fields(const char* field,
                          std::span<const std::pair<const io::Component*, int64_t>> parts);

/// CLIP-L comes before CLIP-G, which is wider. Their sums don't show when they have changed places.
/// Throws CheckpointError naming both files.
void check_encoder_order(const io::Component& first, const io::Component& second);

/// The UNet's `cross_attention_dim` must be the width of the text: the sum of the encoders'
/// `hidden_size`, and two must be in order. Throws CheckpointError naming the files, the fields and
/// both numbers.
void check_text_width(const io::Component& unet, std::span<const io::Component* const> encoders);

/// Channels that a network takes and gives.
struct NetworkChannels {
  int64_t in = 0;
  int64_t out = 0;
};

/// The network's `in_channels` and `out_channels` must be the autoencoder's `latent_channels`; an
/// inpainting network also takes a mask and the latents of the masked picture. Pictures must have
/// three channels. Throws CheckpointError as above.
void check_latent_channels(const io::Component& network, const NetworkChannels& channels,
                           const io::Component& vae);

}  // namespace sdrbee
