// A CLIP tokenizer and the text encoder that it belongs to, as one part of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "sdrbee/models/registry.h"
#include "sdrbee/text/clip_encoder.h"
#include "sdrbee/text/clip_tokenizer.h"
#include "sdrbee/text/prompt_chunks.h"

namespace sdrbee {

/// Which components of a checkpoint belong together.
struct ClipTextNames {
  const char* tokenizer = "tokenizer";
  const char* encoder = "text_encoder";
  const char* encoder_class = "CLIPTextModel";
  /// Whether the pooled text is of use only through `text_projection`, which must be there then.
  bool needs_projection = false;
};

/// Prompts to hidden states, for families with one or several CLIP text encoders.
class ClipText {
 public:
  /// Throws CheckpointError when a component is missing, damaged or of another class, when the
  /// vocabulary is larger than the encoder's, and when its rows are longer.
  ClipText(const io::Checkpoint& checkpoint, const ClipTextNames& names,
           const LoadOptions& options);

  /// The rows of a prompt. Where it is cut, a warning is added unless it is there already: several
  /// encoders cut alike.
  text::TokenRows tokenize(const std::string& prompt, LongPrompt rule,
                           std::vector<std::string>& warnings) const;

  /// Appends rows of an empty prompt until there are `count`.
  void pad(text::TokenRows& rows, size_t count) const;

  /// What the encoder makes of the rows, [rows, window, hidden].
  text::ClipTextOutput encode(const text::TokenRows& rows) const;

  const text::ClipTextEncoder& encoder() const { return encoder_; }
  /// Tokens of one row.
  int64_t window() const { return tokenizer_.max_length(); }

 private:
  text::ClipTokenizer tokenizer_;
  text::ClipTextEncoder encoder_;
  Device device_;
};

/// hidden_states[-(clip_skip + 2)], as diffusers counts for models that never use the last layer.
/// Throws InvalidRequest when there are not so many layers.
const Tensor& states_before_last(const text::ClipTextOutput& output, int64_t clip_skip);

}  // namespace sdrbee
