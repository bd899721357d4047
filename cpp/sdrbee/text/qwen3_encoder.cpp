#include "sdrbee/text/qwen3_encoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/pow.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/rope.h"

namespace sdrbee::text {
namespace {

/// The layers that are needed for hidden states of these indices.
int64_t layers_for(const std::vector<int64_t>& states) { return std::ranges::max(states); }

/// In fp32, as in transformers: [N, width / 2].
Tensor rotations_of(int64_t count, int64_t width, double theta, Device device) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const Tensor exponents = at::arange(0, width, 2, options).div(static_cast<double>(width));
  const Tensor frequencies = at::pow(theta, exponents).reciprocal();
  const Tensor angles = at::arange(count, options).unsqueeze(1).mul(frequencies);
  return at::polar(at::ones_like(angles), angles);
}

/// What keeps tokens from seeing those behind them and the padding: [1, 1, N, N].
Tensor mask_of(int64_t length, int64_t count, const at::TensorOptions& options) {
  const double never = -std::numeric_limits<double>::infinity();
  Tensor mask = at::full({length, length}, never, options).triu_(1);
  mask.narrow(1, count, length - count).fill_(never);
  return mask.unsqueeze(0).unsqueeze(0);
}

}  // namespace

Qwen3EncoderConfig Qwen3EncoderConfig::from(const io::Config& config) {
  Qwen3EncoderConfig result;
  config.require("hidden_act", "silu");
  config.require("use_sliding_window", false);
  config.require("rope_scaling", nullptr);
  const io::Config rope = config.object_or_empty("rope_parameters");
  rope.require("rope_type", "default");
  for (const auto& [key, value] : {std::pair{"vocab_size", &result.vocab_size},
                                   {"hidden_size", &result.hidden_size},
                                   {"intermediate_size", &result.intermediate_size},
                                   {"num_hidden_layers", &result.num_hidden_layers},
                                   {"num_attention_heads", &result.num_attention_heads},
                                   {"num_key_value_heads", &result.num_key_value_heads},
                                   {"head_dim", &result.head_dim}}) {
    *value = config.int64_or(key, *value);
    if (*value < 1) config.reject(key, "a positive integer");
  }
  if (!config.has("num_key_value_heads")) result.num_key_value_heads = result.num_attention_heads;
  if (result.num_attention_heads % result.num_key_value_heads != 0)
    config.reject("num_key_value_heads", "a divisor of 'num_attention_heads'");
  if (result.head_dim % 2 != 0) config.reject("head_dim", "an even number");
  result.attention_bias = config.bool_or("attention_bias", result.attention_bias);
  result.rms_norm_eps = config.double_or("rms_norm_eps", result.rms_norm_eps);
  result.rope_theta =
      rope.double_or("rope_theta", config.double_or("rope_theta", result.rope_theta));
  return result;
}

Qwen3Layer::Qwen3Layer(const io::WeightScope& scope, const Qwen3EncoderConfig& config)
    : input_layernorm_(scope / "input_layernorm", config.hidden_size, config.rms_norm_eps),
      q_proj_(scope / "self_attn.q_proj", config.hidden_size,
              config.num_attention_heads * config.head_dim, config.attention_bias),
      k_proj_(scope / "self_attn.k_proj", config.hidden_size,
              config.num_key_value_heads * config.head_dim, config.attention_bias),
      v_proj_(scope / "self_attn.v_proj", config.hidden_size,
              config.num_key_value_heads * config.head_dim, config.attention_bias),
      o_proj_(scope / "self_attn.o_proj", config.num_attention_heads * config.head_dim,
              config.hidden_size, config.attention_bias),
      q_norm_(scope / "self_attn.q_norm", config.head_dim, config.rms_norm_eps),
      k_norm_(scope / "self_attn.k_norm", config.head_dim, config.rms_norm_eps),
      post_attention_layernorm_(scope / "post_attention_layernorm", config.hidden_size,
                                config.rms_norm_eps),
      gate_proj_(scope / "mlp.gate_proj", config.hidden_size, config.intermediate_size,
                 /*bias=*/false),
      up_proj_(scope / "mlp.up_proj", config.hidden_size, config.intermediate_size,
               /*bias=*/false),
      down_proj_(scope / "mlp.down_proj", config.intermediate_size, config.hidden_size,
                 /*bias=*/false),
      heads_(config.num_attention_heads),
      key_value_heads_(config.num_key_value_heads) {}

Tensor Qwen3Layer::attend(const Tensor& x, const Shared& shared) const {
  const int64_t batch = x.size(0), tokens = x.size(1);
  // [B, N, heads * d] -> [B, N, heads, d]
  const auto turned = [&](const nn::Linear& layer, const nn::RmsNorm& norm) {
    const Tensor heads = layer(x).view({batch, tokens, -1, 2 * shared.rotations.size(1)});
    return nn::rotate_halves(norm(heads), shared.rotations);
  };
  // Each head of keys and values for several of queries: [B, N, few, d] -> [B, N, heads * d]
  const auto repeated = [&](const Tensor& few) {
    const int64_t width = few.size(3);
    return few.unsqueeze(3)
        .expand({batch, tokens, key_value_heads_, heads_ / key_value_heads_, width})
        .reshape({batch, tokens, heads_ * width});
  };
  const Tensor q = turned(q_proj_, q_norm_).flatten(2);
  const Tensor k = repeated(turned(k_proj_, k_norm_));
  const Tensor v = repeated(v_proj_(x).view({batch, tokens, key_value_heads_, -1}));
  nn::AttentionOptions options{.causal = !shared.mask.defined()};
  if (shared.mask.defined()) options.mask = shared.mask;
  return nn::attention(q, k, v, heads_, options);
}

Tensor Qwen3Layer::operator()(const Tensor& x, const Shared& shared) const {
  const Tensor y = o_proj_.add(attend(input_layernorm_(x), shared), x);
  const Tensor normed = post_attention_layernorm_(y);
  const Tensor gated =
      up_proj_.multiplied(normed, gate_proj_.activated(normed, nn::Activation::Silu));
  return down_proj_.add(gated, y);
}

Qwen3Encoder::Qwen3Encoder(const io::WeightScope& scope, const Qwen3EncoderConfig& config,
                           std::vector<int64_t> states)
    : config_(config),
      states_(std::move(states)),
      embed_tokens_(scope / "embed_tokens", config.vocab_size, config.hidden_size),
      norm_(scope / "norm", config.hidden_size, config.rms_norm_eps),
      dtype_(scope.dtype()),
      device_(scope.device()) {
  const int64_t count = layers_for(states_);
  SDRBEE_CHECK(count <= config.num_hidden_layers, count);
  for (int64_t i = 0; i < count; ++i) layers_.emplace_back(scope / "layers" / i, config);
}

std::vector<std::string> Qwen3Encoder::ignorable(const Qwen3EncoderConfig& config,
                                                 const std::vector<int64_t>& states) {
  std::vector<std::string> names = {"lm_head."};
  for (int64_t i = layers_for(states); i < config.num_hidden_layers; ++i)
    names.push_back(message("layers.", i, "."));
  return names;
}

std::vector<Tensor> Qwen3Encoder::operator()(const Tensor& ids, int64_t count) const {
  SDRBEE_CHECK_SHAPE(ids, {1, -1});
  const int64_t length = ids.size(1);
  SDRBEE_CHECK(count >= 1 && count <= length, count);
  const auto largest = ids.max().item<int64_t>();
  if (largest >= config_.vocab_size || ids.min().item<int64_t>() < 0)
    throw CheckpointError(message("[text_encoder] expected token ids below vocab_size ",
                                  config_.vocab_size, " but got ", largest,
                                  ": the tokenizer belongs to another text encoder"));
  Qwen3Layer::Shared shared{
      .rotations = rotations_of(length, config_.head_dim, config_.rope_theta, device_), .mask = {}};
  if (count < length)
    shared.mask = mask_of(length, count, at::TensorOptions().dtype(dtype_).device(device_));
  std::vector<Tensor> all = {embed_tokens_(ids.to(device_))};
  for (const Qwen3Layer& layer : layers_) all.push_back(layer(all.back(), shared));
  std::vector<Tensor> chosen;
  for (const int64_t state : states_) {
    const Tensor& found = all[static_cast<size_t>(state)];
    chosen.push_back(state == config_.num_hidden_layers ? norm_(found) : found);
  }
  return chosen;
}

}  // namespace sdrbee::text
