// From prompt text to the UNet's context, for models with one CLIP text encoder.
#pragma once

#include "sdrbee/models/registry.h"
#include "sdrbee/text/clip_encoder.h"
#include "sdrbee/text/clip_tokenizer.h"
#include "sdrbee/text/prompt_chunks.h"

namespace sdrbee::stable_diffusion {

/// Tokenizer and text encoder of one checkpoint.
class PromptEncoder {
 public:
  /// Throws CheckpointError when the vocabulary is missing or larger than the encoder's, and
  /// when its rows are longer.
  PromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options);

  /// All prompts get as many rows of tokens as the longest needs; the rows of a prompt follow each
  /// other in `context` [1, rows * 77, width]. Throws InvalidRequest for a too large clip_skip.
  EncodedPrompts encode(std::span<const Prompt> prompts) const;

 private:
  Tensor encode_rows(const text::TokenRows& rows, int64_t clip_skip) const;

  text::ClipTokenizer tokenizer_;
  text::ClipTextEncoder encoder_;
  Device device_;
};

}  // namespace sdrbee::stable_diffusion
