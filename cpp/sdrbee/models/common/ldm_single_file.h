// Single-file checkpoints in the original naming of Stable Diffusion 1.x, 2.x and XL.
#pragma once

#include "sdrbee/io/checkpoint.h"

namespace sdrbee::ldm {

/// Recognises "model.diffusion_model.input_blocks..." files and UNets alone (the same names without
/// prefix, or those of diffusers), and gives what there is of unet, vae, text_encoder
/// (text_encoder_2), and tokenizer and scheduler as a diffusers folder of the model would have
/// them. What the tensors tell is read off them; the rest is what the published folders say.
///
/// The prediction type is taken from the metadata (modelspec.prediction_type) or the marker tensor
/// "v_pred"; without them a 2.x text-to-image model is judged by the spread of one bias, all others
/// are epsilon. Throws UnsupportedModel for the 2.x upscaler and XL models in EDM's
/// parametrisation.
extern const io::SingleFileFormat kSingleFileFormat;

}  // namespace sdrbee::ldm
