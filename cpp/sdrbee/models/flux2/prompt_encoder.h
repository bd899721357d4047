// From prompt texts to FLUX.2's conditioning: three hidden states of Qwen3, side by side.
#pragma once

#include "sdrbee/models/common/prompt_encoder.h"
#include "sdrbee/models/common/qwen_text.h"

namespace sdrbee::flux2 {

/// Rows have the same length always; the padding behind a text is attended to, as in diffusers.
class Flux2PromptEncoder final : public PromptEncoder {
 public:
  /// Throws CheckpointError when a component is missing or damaged, or the widths do not fit the
  /// network.
  Flux2PromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options);

  EncodedPrompts encode(std::span<const Prompt> prompts) const override;
  void check(std::span<const Prompt> prompts) const override;

 private:
  QwenText text_;
};

}  // namespace sdrbee::flux2
