// Prompts to conditionings: what differs most between families that share everything else.
#pragma once

#include <span>

#include "sdrbee/models/conditioning.h"
#include "sdrbee/models/prompt_check.h"

namespace sdrbee {

/// Tokenizers and text encoders of one checkpoint.
class PromptEncoder : public PromptCheck {
 public:
  /// See ImageModel::encode. All prompts get as many rows of tokens as the longest needs.
  /// Throws InvalidRequest for a too large clip_skip.
  virtual EncodedPrompts encode(std::span<const Prompt> prompts) const = 0;
};

}  // namespace sdrbee
