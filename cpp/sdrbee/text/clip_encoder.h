// The text encoder of CLIP (Radford et al. 2021, arXiv:2103.00020).
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/activation.h"
#include "sdrbee/nn/embedding.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"
#include "sdrbee/text/prompt_chunks.h"

namespace sdrbee::text {

/// The sizes of a CLIP text encoder; defaults as in transformers' CLIPTextConfig.
struct ClipTextConfig {
  int64_t vocab_size = 49408;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t max_position_embeddings = 77;
  int64_t projection_dim = 512;
  int64_t eos_token_id = 49407;
  double layer_norm_eps = 1e-5;
  nn::Activation hidden_act = nn::Activation::QuickGelu;
  bool projected = false;  ///< the architecture is CLIPTextModelWithProjection

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for an
  /// activation that isn't known.
  static ClipTextConfig from(const io::Config& config);
};

/// What the encoder makes of token ids [B, N].
struct ClipTextOutput {
  /// The embeddings, then the output of every layer: num_hidden_layers + 1 times [B, N, hidden].
  std::vector<Tensor> hidden_states;
  Tensor last_hidden_state;           ///< the last of them through final_layer_norm
  Tensor pooled;                      ///< [B, hidden]: last_hidden_state at the end-of-text token
  std::optional<Tensor> text_embeds;  ///< [B, projection]: pooled through text_projection
};

/// One layer of the encoder: causal self-attention, then a feed-forward layer, both residual.
class ClipEncoderLayer {
 public:
  ClipEncoderLayer(const io::WeightScope& scope, const ClipTextConfig& config);
  /// `mask` is added to the scores, as in nn::AttentionOptions; without one, tokens see those
  /// before them.
  Tensor operator()(const Tensor& x, const std::optional<Tensor>& mask = {}) const;

 private:
  nn::LayerNorm layer_norm1_;
  nn::Linear q_proj_;
  nn::Linear k_proj_;
  nn::Linear v_proj_;
  nn::Linear out_proj_;
  nn::LayerNorm layer_norm2_;
  nn::Linear fc1_;
  nn::Linear fc2_;
  int64_t heads_;
  nn::Activation activation_;
};

/// CLIPTextModel and CLIPTextModelWithProjection of transformers.
class ClipTextEncoder {
 public:
  /// Takes weights named without the `text_model.` prefix (as transformers 5 writes them), and
  /// `text_projection` where the scope has it or the configuration asks for it.
  /// Throws CheckpointError, and UnsupportedModel when the heads do not divide the width.
  ClipTextEncoder(const io::WeightScope& scope, const ClipTextConfig& config);

  /// Encodes `ids` [B, N], int64 on any device, N at most max_position_embeddings.
  /// Throws CheckpointError when an id is outside of the vocabulary: then tokenizer and encoder
  /// do not belong together.
  /// `learned` says which of the ids stand for vectors of their own, `hidden` which no token sees;
  /// the first of a row must be seen.
  ClipTextOutput operator()(const Tensor& ids, std::span<const LearnedToken> learned = {},
                            std::span<const HiddenTokens> hidden = {}) const;

  /// The embedding of a text with the last `clip_skip` layers skipped (0: none), as diffusers
  /// counts them for Stable Diffusion: hidden_states[-(clip_skip + 1)] through final_layer_norm.
  /// There must be so many layers.
  Tensor skip_layers(const ClipTextOutput& output, int64_t clip_skip) const;

  const ClipTextConfig& config() const { return config_; }

 private:
  Tensor pool(const Tensor& ids, const Tensor& last_hidden_state) const;

  ClipTextConfig config_;
  nn::Embedding token_embedding_;
  nn::Embedding position_embedding_;
  std::vector<ClipEncoderLayer> layers_;
  nn::LayerNorm final_layer_norm_;
  std::optional<nn::Linear> text_projection_;
  Device device_;
};

}  // namespace sdrbee::text
