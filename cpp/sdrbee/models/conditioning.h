// What a network is conditioned on.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/core/size.h"
#include "sdrbee/core/tensor.h"
#include "sdrbee/text/prompt_syntax.h"
#include "sdrbee/text/textual_inversion.h"

namespace sdrbee {

/// What to do with a prompt that is longer than the text encoder's window.
enum class LongPrompt { Chunk, Truncate, Refuse };

/// How the picture that a result should look like was cut to size. Networks that learnt from
/// pictures of many sizes are told (Podell et al. 2023, arXiv:2307.01952, 2.2).
struct Framing {
  PixelSize original_size;
  PixelSize target_size;
  int64_t crop_left = 0;
  int64_t crop_top = 0;
};

/// A text for one encoder.
struct PromptText {
  std::string text;
  std::string field;  // what the request calls it, for messages
  LongPrompt long_prompt = LongPrompt::Chunk;
  text::PromptSyntax syntax = text::PromptSyntax::Plain;
  text::LearnedWords words = {};  // that stand in it
};

/// Texts and how to encode them: one row of a picture, the positive or the negative one.
struct Prompt {
  /// Nothing where the request gives none, which is not the same as an empty text: some families
  /// condition on zeros then.
  std::optional<std::string> text;
  /// For the second text encoder; it gets `text` when this is nothing or empty.
  std::optional<std::string> text_2 = std::nullopt;
  /// For the third text encoder, in the same way.
  std::optional<std::string> text_3 = std::nullopt;
  int64_t text_tokens = 0;  // length of the input of a T5 or Qwen3 encoder, where the model has one
  int64_t clip_skip = 0;    // layers left out at the end of the text encoder, as diffusers counts
  LongPrompt long_prompt = LongPrompt::Chunk;
  text::PromptSyntax syntax = text::PromptSyntax::Plain;  // of all texts
  text::LearnedWords words = {};                          // that stand in the texts
  bool negative = false;
  std::string field = "prompt";  // what the request calls `text`
  Framing framing = {};

  /// What the first, second or third text encoder is given.
  PromptText text_for(int encoder) const;
};

class ControlNetwork;

/// A control network and what it is shown in one evaluation.
struct ControlInput {
  ControlNetwork* network = nullptr;
  Tensor image;      // [B, ...], see ControlNetwork::prepare
  Tensor strengths;  // [B] fp32 on the CPU; for a row of 0 the network is not run
  Tensor taken_from =
      {};               // [B] int64 on the CPU: rows whose residuals each row gets; own: undefined
  Tensor masks = {};    // [B, pictures, H, W] fp32 in 0..1, where each acts; undefined: everywhere
  Tensor factors = {};  // [B, places] fp32 on the CPU, see ControlNetwork::place_factors
  bool guess_mode = false;  // less for higher resolutions, as diffusers has it
  bool soft = false;        // likewise, see soften()
  int64_t type = 0;         // see ControlNetwork::find_type
};

/// Throws InvalidRequest for a prompt in compel's syntax, for models that it has no meaning for.
void refuse_compel(const Prompt& prompt);

/// The prompt with texts that hold no marks any more, for encoders that can't weigh words. Adds a
/// warning, once, where weights are lost by that. Refuses compel's syntax.
Prompt without_marks(const Prompt& prompt, std::vector<std::string>& warnings);

/// An encoded prompt and all else that a network is given beside latents and timestep. Tensors
/// live on the model's device in its dtype unless said otherwise; a family leaves undefined what
/// its network does not take.
struct Conditioning {
  Tensor context;              // [B, tokens, channels]
  Tensor context_counts = {};  // [B] int64 on the CPU: rows of `context` that count; undefined: all
  Tensor pooled = {};          // [B, channels]
  Tensor time_ids = {};        // [B, n] fp32: sizes, crop and score of XL
  Tensor guidance = {};   // [B] fp64 on the CPU: guidance scales, for guidance-distilled networks
  Tensor skipped = {};    // [B, blocks] bool on the CPU: blocks that leave a row as it is
  Tensor channels = {};   // [B, C, h, w] fp32: further input channels, as of native inpainting
  Tensor reference = {};  // [B, C, h', w'] fp32: latents of a picture that is shown to the network
  std::vector<ControlInput> controls = {};  // what steers the network from outside
};

/// Prompts that are used together, encoded to the same number of tokens.
struct EncodedPrompts {
  std::vector<Conditioning> conditionings;  // one a prompt, each with B = 1
  std::vector<std::string> warnings;        // e.g. the text that was cut off
};

/// Stacks conditionings of equal token count along the batch; `controls` are left out.
Conditioning stack(std::span<const Conditioning* const> rows);

/// The rows of a batch that `indices`, int64 [n], names; `controls` are left out.
Conditioning select_rows(const Conditioning& batch, const Tensor& indices);

}  // namespace sdrbee
