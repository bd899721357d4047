// From prompt texts to Z-Image's conditioning: the last but one hidden state of Qwen3.
#pragma once

#include "sdrbee/models/common/prompt_encoder.h"
#include "sdrbee/models/common/qwen_text.h"

namespace sdrbee::z_image {

/// As many rows as a prompt has tokens; the shorter of two prompts has rows of zeros behind them,
/// which Conditioning::context_counts leaves out.
class ZImagePromptEncoder final : public PromptEncoder {
 public:
  /// Throws CheckpointError when a component is missing or damaged, or the widths do not fit the
  /// network.
  ZImagePromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options);

  EncodedPrompts encode(std::span<const Prompt> prompts) const override;
  void check(std::span<const Prompt> prompts) const override;

 private:
  QwenText text_;
};

}  // namespace sdrbee::z_image
