// A Qwen3 tokenizer and the text encoder that it belongs to, as one part of a checkpoint.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/prompt_cache.h"
#include "sdrbee/text/bpe_tokenizer.h"
#include "sdrbee/text/qwen3_encoder.h"

namespace sdrbee {

/// How a family asks Qwen3 about a prompt.
struct QwenTextOptions {
  /// Hidden states, as Qwen3Encoder counts them; negative ones count from the end.
  std::vector<int64_t> states;
  /// Whether the model's answer may begin with its thoughts; else the chat goes on behind them.
  bool thinks = true;
  /// Whether prompts are filled up to the length that is asked for.
  bool padded = false;
};

/// Prompts to hidden states, for families with a Qwen3 text encoder.
class QwenText {
 public:
  /// Throws CheckpointError when a component is missing, damaged or of another class, when the
  /// vocabulary is larger than the encoder's, or when it has fewer layers than `asked.states`
  /// needs.
  QwenText(const io::Checkpoint& checkpoint, const LoadOptions& options,
           const QwenTextOptions& asked);

  /// The hidden states [1, N, width] of a prompt as a user's turn of a chat, from the cache where
  /// it was encoded before. N is `tokens` where prompts are padded, else the number of the prompt's
  /// own tokens, at most `tokens`: the rest is cut as `rule` says, with a warning.
  std::vector<Tensor> encode(const PromptText& prompt, int64_t tokens,
                             std::vector<std::string>& warnings) const;

  /// The tokens of the chat that encode() takes, without padding, with the same warnings and
  /// errors; needs no weights.
  std::vector<int64_t> tokenize(const PromptText& prompt, int64_t tokens,
                                std::vector<std::string>& warnings) const;

  /// Channels of one hidden state.
  int64_t width() const { return config_.hidden_size; }

 private:
  QwenTextOptions asked_;
  text::BpeTokenizer tokenizer_;
  text::Qwen3EncoderConfig config_;
  LazyNetwork<text::Qwen3Encoder> encoder_;
  std::shared_ptr<PromptCache> cache_;
};

/// A prompt as Qwen3's chat template writes a user's only turn and the beginning of the answer.
/// https://huggingface.co/Qwen/Qwen3-4B/blob/main/tokenizer_config.json, chat_template
std::string qwen_chat(const std::string& prompt, bool thinks);

}  // namespace sdrbee
