// The text encoder of T5 1.1 (Raffel et al. 2020, arXiv:1910.10683; Shazeer 2020,
// arXiv:2002.05202).
#pragma once

#include <vector>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/embedding.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::text {

/// The sizes of a T5 encoder; defaults as in transformers' T5Config.
struct T5EncoderConfig {
  int64_t vocab_size = 32128;
  int64_t d_model = 512;
  int64_t d_kv = 64;  ///< width of a head
  int64_t d_ff = 2048;
  int64_t num_layers = 6;
  int64_t num_heads = 8;
  int64_t relative_attention_num_buckets = 32;
  int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for
  /// another feed-forward layer than T5 1.1's gated GELU.
  static T5EncoderConfig from(const io::Config& config);
};

/// One layer of the encoder: self-attention, then a gated feed-forward layer, both residual.
class T5Block {
 public:
  T5Block(const io::WeightScope& scope, const T5EncoderConfig& config);

  /// `x` [B, N, d_model]; `position_bias` [1, heads, N, N] is added to the attention scores.
  Tensor operator()(const Tensor& x, const Tensor& position_bias) const;

 private:
  nn::RmsNorm attention_norm_;
  nn::Linear q_;
  nn::Linear k_;
  nn::Linear v_;
  nn::Linear o_;
  nn::RmsNorm feed_forward_norm_;
  nn::Linear wi_0_;
  nn::Linear wi_1_;
  nn::Linear wo_;
  int64_t heads_;
  Dtype dtype_;
};

/// T5EncoderModel of transformers. In fp16, which the network's activations exceed, the residual
/// stream and `wo` are fp32, as in transformers.
class T5Encoder {
 public:
  /// Takes `shared` (or `encoder.embed_tokens`) and `encoder`. Throws CheckpointError.
  T5Encoder(const io::WeightScope& scope, const T5EncoderConfig& config);

  /// The last hidden states [B, N, d_model] of `ids` [B, N], int64 on any device.
  /// Throws CheckpointError when an id is outside of the vocabulary.
  Tensor operator()(const Tensor& ids) const;

  const T5EncoderConfig& config() const { return config_; }

 private:
  Tensor position_bias(int64_t tokens) const;

  T5EncoderConfig config_;
  nn::Embedding shared_;
  nn::Embedding relative_attention_bias_;
  std::vector<T5Block> block_;
  nn::RmsNorm final_layer_norm_;
  Dtype dtype_;
  Device device_;
};

/// Which bucket of the learnt position bias each pair of tokens belongs to: [N, N] int64, row i
/// for the token that looks. Half of the buckets are for tokens behind; near ones have their own.
Tensor relative_position_buckets(int64_t tokens, int64_t buckets, int64_t max_distance);

}  // namespace sdrbee::text
