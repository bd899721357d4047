// Files with one component, and the components inside single-file models: found by their tensors'
// names in any of the namings that are around, and given as a diffusers folder would have them.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "sdrbee/io/checkpoint.h"

namespace sdrbee {

/// AutoencoderKL, or AutoencoderKLFlux2, in the naming of latent diffusion or of diffusers, below
/// no prefix, "first_stage_model." or "vae.". Nothing when there is none.
std::optional<io::LoneComponent> find_autoencoder(
    const std::shared_ptr<const io::WeightSource>& file);

/// CLIP's text encoder in the naming of transformers or OpenCLIP, below no prefix. It counts as
/// CLIPTextModelWithProjection where the file has a projection, which is dropped when `projected`
/// is false. OpenCLIP's H is taken as Stable Diffusion 2 has it: without the last layer. Parts of a
/// whole CLIP that see pictures are dropped.
std::optional<io::LoneComponent> find_clip_text(const std::shared_ptr<const io::WeightSource>& file,
                                                bool projected = true);

/// T5's encoder in the naming of transformers or llama.cpp.
std::optional<io::LoneComponent> find_t5(const std::shared_ptr<const io::WeightSource>& file);

/// Qwen3's language model in the naming of transformers; its head is dropped.
std::optional<io::LoneComponent> find_qwen3(const std::shared_ptr<const io::WeightSource>& file);

/// The formats above. Denoisers are not among them: a file with a denoiser is a model that lacks
/// the other components.
std::span<const io::ComponentFormat> component_formats();

/// Throws UnsupportedModel, saying what it is, for files that are no part of a model: LoRAs,
/// ControlNets, embeddings, language models. Recognises nothing.
extern const io::SingleFileFormat kOtherFiles;

}  // namespace sdrbee
