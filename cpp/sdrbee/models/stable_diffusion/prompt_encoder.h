// From prompt text to the UNet's context, for models with one CLIP text encoder.
#pragma once

#include "sdrbee/models/common/clip_text.h"
#include "sdrbee/models/common/prompt_encoder.h"

namespace sdrbee::stable_diffusion {

/// The encoder's last hidden states; the rows of a prompt follow each other in `context`
/// [1, rows * 77, width]. A prompt that is not given counts as empty.
class ClipPromptEncoder final : public PromptEncoder {
 public:
  ClipPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options);

  EncodedPrompts encode(std::span<const Prompt> prompts) const override;
  void check(std::span<const Prompt> prompts) const override;

 private:
  ClipText clip_;
};

}  // namespace sdrbee::stable_diffusion
