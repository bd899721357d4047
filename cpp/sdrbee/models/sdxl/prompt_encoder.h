// From prompt texts to the UNet's context, pooled text and time ids, with two text encoders.
#pragma once

#include <vector>

#include "sdrbee/models/common/clip_text.h"
#include "sdrbee/models/common/prompt_encoder.h"

namespace sdrbee::sdxl {

/// The hidden states before the last layer of all encoders, side by side, without the final norm;
/// the pooled text is the last encoder's, of a prompt's first row or, in
/// compel's syntax, of the prompt as it is written (Podell et al. 2023,
/// arXiv:2307.01952, 2.1). The refiner has the second encoder only.
class XlPromptEncoder final : public PromptEncoder {
 public:
  /// Throws CheckpointError when pooled text and time ids do not fit the UNet.
  XlPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options);

  EncodedPrompts encode(std::span<const Prompt> prompts) const override;
  void check(std::span<const Prompt> prompts) const override;

 private:
  using Rows = std::vector<ClipRows>;  // one an encoder
  Rows tokenize(const Prompt& prompt, std::vector<std::string>& warnings) const;
  /// Whether the family conditions on zeros.
  bool is_none(const Prompt& prompt) const;
  Conditioning zeros(size_t row_count) const;
  Tensor time_ids(const Prompt& prompt) const;
  void check_addition(const io::Checkpoint& checkpoint) const;

  std::vector<ClipText> encoders_;
  bool zeros_for_no_prompt_;
  bool aesthetic_score_;
  at::TensorOptions options_;
};

}  // namespace sdrbee::sdxl
