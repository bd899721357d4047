// Qwen3 as a text encoder: the hidden states of a decoder-only language model.
// Yang et al. 2025, arXiv:2505.09388.
#pragma once

#include <vector>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/embedding.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::text {

/// The sizes of a Qwen3 model; defaults as in transformers' Qwen3Config.
struct Qwen3EncoderConfig {
  int64_t vocab_size = 151936;
  int64_t hidden_size = 4096;
  int64_t intermediate_size = 22016;
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;
  int64_t num_key_value_heads = 32;  ///< each serves as many heads of queries
  int64_t head_dim = 128;
  bool attention_bias = false;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for
  /// another activation, scaled rotations or attention over a sliding window.
  static Qwen3EncoderConfig from(const io::Config& config);
};

/// One layer: attention to the tokens before, then a gated feed-forward layer, both residual.
class Qwen3Layer {
 public:
  /// What all layers are given beside the tokens.
  struct Shared {
    Tensor rotations;  ///< [N, head_dim / 2] complex
    Tensor mask;       ///< added to the scores [1, 1, N, N]; undefined: causal
  };

  Qwen3Layer(const io::WeightScope& scope, const Qwen3EncoderConfig& config);

  /// `x` [B, N, hidden_size] -> the same.
  Tensor operator()(const Tensor& x, const Shared& shared) const;

 private:
  Tensor attend(const Tensor& x, const Shared& shared) const;

  nn::RmsNorm input_layernorm_;
  nn::Linear q_proj_;
  nn::Linear k_proj_;
  nn::Linear v_proj_;
  nn::Linear o_proj_;
  nn::RmsNorm q_norm_;
  nn::RmsNorm k_norm_;
  nn::RmsNorm post_attention_layernorm_;
  nn::Linear gate_proj_;
  nn::Linear up_proj_;
  nn::Linear down_proj_;
  int64_t heads_;
  int64_t key_value_heads_;
};

/// Qwen3Model of transformers, which is also what Qwen3ForCausalLM has inside.
class Qwen3Encoder {
 public:
  /// Takes the embedding, the final norm, and the layers that `states` need; those behind them are
  /// never read. `states` are indices of transformers' `hidden_states`: 0 are the embeddings, i
  /// what layer i hands on, `num_hidden_layers` the same of the last one after the final norm.
  /// Throws CheckpointError, also when there are not so many layers.
  Qwen3Encoder(const io::WeightScope& scope, const Qwen3EncoderConfig& config,
               std::vector<int64_t> states);

  /// The hidden states, in the order of `states`: [1, N, hidden_size] each. Of `ids` [1, N], int64
  /// on any device, the first `count` are text; no token attends to the padding behind them.
  /// Throws CheckpointError when an id is outside of the vocabulary.
  std::vector<Tensor> operator()(const Tensor& ids, int64_t count) const;

  /// Names of weights that are not taken when `states` don't need all layers.
  static std::vector<std::string> ignorable(const Qwen3EncoderConfig& config,
                                            const std::vector<int64_t>& states);

  const Qwen3EncoderConfig& config() const { return config_; }

 private:
  Qwen3EncoderConfig config_;
  std::vector<int64_t> states_;
  nn::Embedding embed_tokens_;
  std::vector<Qwen3Layer> layers_;
  nn::RmsNorm norm_;
  Dtype dtype_;
  Device device_;
};

}  // namespace sdrbee::text
