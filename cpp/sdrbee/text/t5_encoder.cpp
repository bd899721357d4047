#include "sdrbee/text/t5_encoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/log.h>
#include <ATen/ops/where.h>

#include <cmath>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/nn/attention.h"

namespace sdrbee::text {
namespace {

/// The dtype between the blocks and of `wo`.
Dtype stream_dtype(Dtype dtype) { return dtype == Dtype::Half ? Dtype::Float : dtype; }

/// Old exports have the token embedding under the second name only.
io::WeightScope embedding_scope(const io::WeightScope& scope) {
  const io::WeightScope shared = scope / "shared";
  return shared.contains("weight") ? shared : scope / "encoder.embed_tokens";
}

/// x + layer(branch), in the dtype of x.
Tensor add_branch(const nn::Linear& layer, const Tensor& branch, const Tensor& x) {
  if (branch.scalar_type() == x.scalar_type()) return layer.add(branch, x);
  return x + layer(branch);
}

}  // namespace

T5EncoderConfig T5EncoderConfig::from(const io::Config& config) {
  T5EncoderConfig result;
  const std::string feed_forward = config.string_or("feed_forward_proj", "relu");
  if (feed_forward != "gated-gelu")
    throw UnsupportedModel(message("[", config.origin(), "] 'feed_forward_proj': only gated-gelu ",
                                   "(T5 1.1) is supported but got ", feed_forward));
  result.vocab_size = config.positive_or("vocab_size", result.vocab_size);
  result.d_model = config.positive_or("d_model", result.d_model);
  result.d_kv = config.positive_or("d_kv", result.d_kv);
  result.d_ff = config.positive_or("d_ff", result.d_ff);
  result.num_layers = config.positive_or("num_layers", result.num_layers);
  result.num_heads = config.positive_or("num_heads", result.num_heads);
  result.relative_attention_num_buckets =
      config.positive_or("relative_attention_num_buckets", result.relative_attention_num_buckets);
  result.relative_attention_max_distance =
      config.positive_or("relative_attention_max_distance", result.relative_attention_max_distance);
  result.layer_norm_epsilon = config.double_or("layer_norm_epsilon", result.layer_norm_epsilon);
  if (result.relative_attention_num_buckets % 4 != 0)
    config.reject("relative_attention_num_buckets", "a multiple of 4");
  if (result.relative_attention_max_distance <= result.relative_attention_num_buckets / 4)
    config.reject("relative_attention_max_distance", "more than a quarter of the buckets");
  return result;
}

T5Block::T5Block(const io::WeightScope& scope, const T5EncoderConfig& config)
    : attention_norm_((scope / "layer.0.layer_norm").as(stream_dtype(scope.dtype())),
                      config.d_model, config.layer_norm_epsilon),
      q_(scope / "layer.0.SelfAttention.q", config.d_model, config.num_heads * config.d_kv,
         /*bias=*/false),
      k_(scope / "layer.0.SelfAttention.k", config.d_model, config.num_heads * config.d_kv,
         /*bias=*/false),
      v_(scope / "layer.0.SelfAttention.v", config.d_model, config.num_heads * config.d_kv,
         /*bias=*/false),
      o_(scope / "layer.0.SelfAttention.o", config.num_heads * config.d_kv, config.d_model,
         /*bias=*/false),
      feed_forward_norm_((scope / "layer.1.layer_norm").as(stream_dtype(scope.dtype())),
                         config.d_model, config.layer_norm_epsilon),
      wi_0_(scope / "layer.1.DenseReluDense.wi_0", config.d_model, config.d_ff, /*bias=*/false),
      wi_1_(scope / "layer.1.DenseReluDense.wi_1", config.d_model, config.d_ff, /*bias=*/false),
      wo_((scope / "layer.1.DenseReluDense.wo").as(stream_dtype(scope.dtype())), config.d_ff,
          config.d_model, /*bias=*/false),
      heads_(config.num_heads),
      dtype_(scope.dtype()) {}

Tensor T5Block::operator()(const Tensor& x, const Tensor& position_bias) const {
  const Tensor normed = attention_norm_(x).to(dtype_);
  // T5 has the usual scale of the scores in its weights.
  const Tensor attended = nn::attention(q_(normed), k_(normed), v_(normed), heads_,
                                        {.scale = 1.0, .mask = position_bias});
  const Tensor y = add_branch(o_, attended, x);
  const Tensor inner = feed_forward_norm_(y).to(dtype_);
  const Tensor gated = wi_1_.multiplied(inner, wi_0_.activated(inner, nn::Activation::GeluTanh));
  return add_branch(wo_, gated.to(stream_dtype(dtype_)), y);
}

T5Encoder::T5Encoder(const io::WeightScope& scope, const T5EncoderConfig& config)
    : config_(config),
      shared_(embedding_scope(scope), config.vocab_size, config.d_model),
      relative_attention_bias_(
          scope / "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
          config.relative_attention_num_buckets, config.num_heads),
      final_layer_norm_((scope / "encoder.final_layer_norm").as(stream_dtype(scope.dtype())),
                        config.d_model, config.layer_norm_epsilon),
      dtype_(scope.dtype()),
      device_(scope.device()) {
  for (int64_t i = 0; i < config.num_layers; ++i)
    block_.emplace_back(scope / "encoder.block" / i, config);
}

Tensor T5Encoder::operator()(const Tensor& ids) const {
  SDRBEE_CHECK_SHAPE(ids, {-1, -1});
  const auto largest = ids.max().item<int64_t>();
  if (largest >= config_.vocab_size || ids.min().item<int64_t>() < 0)
    throw CheckpointError(message("[text_encoder] expected token ids below vocab_size ",
                                  config_.vocab_size, " but got ", largest,
                                  ": the tokenizer belongs to another text encoder"));
  const Tensor bias = position_bias(ids.size(1));
  Tensor x = shared_(ids.to(device_)).to(stream_dtype(dtype_));
  for (const T5Block& block : block_) x = block(x, bias);
  return final_layer_norm_(x).to(dtype_);
}

Tensor T5Encoder::position_bias(int64_t tokens) const {
  const Tensor buckets = relative_position_buckets(tokens, config_.relative_attention_num_buckets,
                                                   config_.relative_attention_max_distance);
  // [N, N, heads] -> [1, heads, N, N]
  return relative_attention_bias_(buckets.to(device_)).permute({2, 0, 1}).unsqueeze(0).contiguous();
}

Tensor relative_position_buckets(int64_t tokens, int64_t buckets, int64_t max_distance) {
  const Tensor positions = at::arange(tokens, at::TensorOptions().dtype(at::kLong));
  const Tensor relative = positions.unsqueeze(0) - positions.unsqueeze(1);
  const Tensor distance = relative.abs();
  const int64_t half = buckets / 2;
  const int64_t exact = half / 2;
  // The buckets of far tokens grow with the logarithm; in fp32, as the weights were trained.
  const Tensor far =
      at::log(distance.clamp_min(1).to(at::kFloat) / exact)
          .div(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)))
          .mul(half - exact)
          .to(at::kLong)
          .add(exact)
          .clamp_max(half - 1);
  return relative.gt(0).to(at::kLong) * half + at::where(distance.lt(exact), distance, far);
}

}  // namespace sdrbee::text
