// From prompt texts to FLUX's conditioning: CLIP's pooled text and T5's tokens.
#pragma once

#include "sdrbee/models/common/clip_text.h"
#include "sdrbee/models/common/prompt_encoder.h"
#include "sdrbee/models/common/t5_text.h"

namespace sdrbee::flux {

/// T5 makes the tokens that the network attends to, CLIP one vector for the whole prompt, of its
/// first 75 tokens. Padding is attended to, as in diffusers. Rows have the same length always, so
/// that a longer prompt doesn't change the others of a batch.
class FluxPromptEncoder final : public PromptEncoder {
 public:
  /// Throws CheckpointError when a component is missing or damaged, or the widths do not fit the
  /// network.
  FluxPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options);

  EncodedPrompts encode(std::span<const Prompt> prompts) const override;
  void check(std::span<const Prompt> prompts) const override;

 private:
  ClipText clip_;
  T5Text t5_;
};

}  // namespace sdrbee::flux
