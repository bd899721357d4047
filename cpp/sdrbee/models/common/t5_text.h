// A T5 tokenizer and the text encoder that it belongs to, as one part of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/text/t5_encoder.h"
#include "sdrbee/text/unigram_tokenizer.h"

namespace sdrbee {

/// Which components of a checkpoint belong together.
struct T5TextNames {
  const char* tokenizer = "tokenizer_3";
  const char* encoder = "text_encoder_3";
};

/// Prompts to hidden states, for families with a T5 text encoder.
class T5Text {
 public:
  /// Throws CheckpointError when a component is missing, damaged or of another class, and when the
  /// vocabulary is larger than the encoder's.
  T5Text(const io::Checkpoint& checkpoint, const T5TextNames& names, const LoadOptions& options);

  /// The last hidden states of a prompt, padded to `tokens`: [1, tokens, width], from the cache
  /// where it was encoded before. Padding is attended to, as in diffusers. T5 has no window to
  /// continue in: a prompt over the limit is cut with a warning, or refused by LongPrompt::Refuse.
  /// Throws InvalidRequest with the part that is too much.
  Tensor encode(const PromptText& prompt, int64_t tokens, std::vector<std::string>& warnings) const;

  /// The tokens of a prompt that encode() takes, with the same warnings and errors; needs no
  /// weights.
  text::TokenRow tokenize(const PromptText& prompt, int64_t tokens,
                          std::vector<std::string>& warnings) const;

 private:
  text::UnigramTokenizer tokenizer_;
  text::T5EncoderConfig config_;
  LazyNetwork<text::T5Encoder> encoder_;
  std::string name_;
  std::shared_ptr<PromptCache> cache_;
};

}  // namespace sdrbee
