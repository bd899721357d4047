// What a model's tokenizers can tell of prompts before a picture is begun.
#pragma once

#include <span>

#include "sdrbee/models/conditioning.h"

namespace sdrbee {

/// Counts the tokens of prompts. Any number of threads may use one, also while the model works.
class PromptCheck {
 public:
  virtual ~PromptCheck() = default;

  /// Throws InvalidRequest that names the field, where a text is longer than its encoder takes and
  /// LongPrompt::Refuse asks for that, and where compel's syntax can't be used. Needs no weights.
  virtual void check(std::span<const Prompt> prompts) const = 0;
};

}  // namespace sdrbee
