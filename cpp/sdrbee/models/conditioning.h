// What a network is conditioned on.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// What to do with a prompt that is longer than the text encoder's window.
enum class LongPrompt { Chunk, Truncate };

/// A text and how to encode it.
struct Prompt {
  std::string text;
  int64_t clip_skip = 0;  // layers left out at the end of the text encoder, as diffusers counts
  LongPrompt long_prompt = LongPrompt::Chunk;
};

/// An encoded prompt; the tensors live on the model's device in its dtype.
struct Conditioning {
  Tensor context;  // [B, tokens, channels]
  Tensor pooled;   // [B, channels]; undefined when the family has none
};

/// Prompts that are used together, encoded to the same number of tokens.
struct EncodedPrompts {
  std::vector<Conditioning> conditionings;  // one a prompt, each with B = 1
  std::vector<std::string> warnings;        // e.g. the text that was cut off
};

/// Stacks conditionings of equal token count along the batch.
Conditioning stack(std::span<const Conditioning* const> rows);

}  // namespace sdrbee
