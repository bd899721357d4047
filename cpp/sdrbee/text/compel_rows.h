// The rows of tokens of a prompt in compel's syntax, and what its weights make of their states.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "sdrbee/core/tensor.h"
#include "sdrbee/text/compel_prompt.h"
#include "sdrbee/text/prompt_chunks.h"

namespace sdrbee::text {

/// A piece of a text that weighs less than 1, and where its tokens are.
struct FadedPiece {
  double weight = 1.0;
  std::vector<HiddenTokens> tokens;  // neighbouring rows, at most one entry a row
};

/// A prompt in compel's syntax as one encoder is given it.
struct CompelRows {
  /// One of its texts.
  struct Part {
    TokenRows tokens;
    std::vector<FadedPiece> faded;
    double weight = 1.0;
  };
  std::vector<Part> parts;  // one at least
  bool blended = false;
  TokenRows empty;    // one row without words
  TokenRows written;  // one row of the prompt with its marks, which compel pools

  /// The rows that it comes to.
  size_t count() const;
};

/// Pieces below 1 in one prompt at most: each is a run of the encoder.
inline constexpr size_t kMaxFaded = 64;

/// What makes rows of one text: truncate_prompt or chunk_prompt.
using CutRows = std::function<TokenRows(const PromptSection&)>;

/// Throws InvalidRequest as parse_compel does, and for more than kMaxFaded pieces below 1.
CompelRows compel_rows(const ClipTokenizer& tokenizer, std::string_view prompt,
                       std::string_view field, const CutRows& cut);

/// Makes states [rows, window, channels] of rows of tokens.
using EncodeRows = std::function<Tensor(const TokenRows&)>;

/// The states of a prompt [count, window, channels], filled up with empty rows. As compel has it:
/// a token of weight w is at `empty + w * (state - empty)`; with every piece below 1 goes a second
/// version of the text in which no token sees the piece, and the text becomes the mean of all its
/// versions, those without a piece with weight tan((1 - w) * pi / 2) beside 1.
/// https://github.com/damian0815/compel/blob/main/src/compel/embeddings_provider.py
Tensor compel_states(const CompelRows& rows, size_t count, const EncodeRows& encode);

}  // namespace sdrbee::text
