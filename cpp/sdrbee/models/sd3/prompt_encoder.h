// From prompt texts to the network's context and pooled text, with two CLIP encoders and T5.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "sdrbee/models/common/clip_text.h"
#include "sdrbee/models/common/prompt_encoder.h"
#include "sdrbee/models/common/t5_text.h"
#include "sdrbee/models/sd3/transformer_config.h"

namespace sdrbee::sd3 {

/// The hidden states before the last layer of both CLIP encoders side by side, filled up with
/// zeros to T5's width, followed by T5's tokens (Esser et al. 2024, arXiv:2403.03206, figure 2);
/// the pooled text is that of both CLIP encoders, of a prompt's first row. Zeros stand in for T5
/// where the checkpoint has none. Prompts that are not given count as empty.
class Sd3PromptEncoder final : public PromptEncoder {
 public:
  /// Throws CheckpointError when the encoders do not fit the network.
  Sd3PromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options,
                   const TransformerConfig& network);

  EncodedPrompts encode(std::span<const Prompt> prompts) const override;
  void check(std::span<const Prompt> prompts) const override;

 private:
  static constexpr size_t kClipCount = 2;
  using Rows = std::array<text::TokenRows, kClipCount>;
  using Features = std::array<ClipFeatures, kClipCount>;
  Rows tokenize(const Prompt& prompt, std::vector<std::string>& warnings) const;
  Conditioning join(const Features& features, const Rows& rows) const;
  Tensor encode_t5(const Prompt& prompt, std::vector<std::string>& warnings) const;

  std::array<ClipText, kClipCount> clip_;
  std::optional<T5Text> t5_;
  int64_t width_;
  at::TensorOptions options_;
};

}  // namespace sdrbee::sd3
