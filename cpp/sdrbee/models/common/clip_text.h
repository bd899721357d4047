// A CLIP tokenizer and the text encoder that it belongs to, as one part of a checkpoint.
#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/text/clip_encoder.h"
#include "sdrbee/text/clip_tokenizer.h"
#include "sdrbee/text/compel_rows.h"
#include "sdrbee/text/prompt_chunks.h"

namespace sdrbee {

/// Which hidden states a family conditions on.
enum class ClipStates {
  Last,        ///< the last layer's, through the final norm
  BeforeLast,  ///< those before the last layer, as they are
};

/// Which components of a checkpoint belong together, and what is made of them.
struct ClipTextNames {
  const char* tokenizer = "tokenizer";
  const char* encoder = "text_encoder";
  const char* encoder_class = "CLIPTextModel";
  /// Whether the pooled text is of use only through `text_projection`, which must be there then.
  bool needs_projection = false;
  ClipStates states = ClipStates::BeforeLast;
  /// What its vectors are called in files of learned words for several encoders; "": it is the only
  /// encoder.
  std::string_view words_key = {};
};

/// A text as rows of tokens, with what its syntax says of them.
using ClipRows = std::variant<text::TokenRows, text::CompelRows>;

/// The rows that a text comes to.
size_t row_count(const ClipRows& rows);

/// What a family is given of an encoder's output.
struct ClipFeatures {
  Tensor states;  // [rows, window, hidden]
  Tensor pooled;  // [rows, hidden]
  Tensor embeds;  // [rows, projection]: `pooled` through the projection; undefined without one
};

/// The layers of the encoder of that name.
int64_t clip_layers(const io::Checkpoint& checkpoint, const char* encoder);

/// Prompts to hidden states, for families with one or several CLIP text encoders.
class ClipText {
 public:
  /// Throws CheckpointError when a component is missing, damaged or of another class, when the
  /// vocabulary is larger than the encoder's, and when its rows are longer.
  ClipText(const io::Checkpoint& checkpoint, const ClipTextNames& names,
           const LoadOptions& options);

  /// The rows of a text in any syntax. Where it is cut, a warning is added. Needs no weights.
  /// Throws InvalidRequest where the text is longer than a row and must not be, and as
  /// text::compel_rows does.
  ClipRows read(const PromptText& text, std::vector<std::string>& warnings) const;

  /// What the encoder makes of a text without its last `clip_skip` layers, filled up to `count`
  /// rows, and weighed as its syntax asks for. There must be so many layers.
  ClipFeatures weighed(ClipRows rows, size_t count, int64_t clip_skip) const;

  /// The rows of a text that isn't in compel's syntax, as read() makes them.
  text::TokenRows tokenize(const PromptText& text, std::vector<std::string>& warnings) const;

  /// Appends rows of an empty prompt until there are `count`.
  void pad(text::TokenRows& rows, size_t count) const;

  /// What the encoder makes of the rows without its last `clip_skip` layers, from the cache where
  /// they were encoded before. There must be so many layers. Weights of words are not applied:
  /// text::weighted_states does it.
  ClipFeatures encode(const text::TokenRows& rows, int64_t clip_skip) const;

  const text::ClipTextConfig& config() const { return config_; }
  /// Tokens of one row.
  int64_t window() const { return tokenizer_.max_length(); }

 private:
  text::TokenRows cut(const PromptText& text, std::span<const text::PromptSection> sections,
                      std::vector<std::string>& warnings) const;
  ClipFeatures blended(const text::CompelRows& rows, size_t count, int64_t clip_skip) const;

  text::ClipTokenizer tokenizer_;
  text::ClipTextConfig config_;
  LazyNetwork<text::ClipTextEncoder> encoder_;
  Device device_;
  ClipTextNames names_;
  std::shared_ptr<PromptCache> cache_;
};

}  // namespace sdrbee
