#include "sdrbee/text/clip_encoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <limits>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/nn/attention.h"

namespace sdrbee::text {
namespace {

// Configurations from before https://github.com/huggingface/transformers/pull/24773 say 2, which
// is not the end-of-text token of any CLIP vocabulary.
constexpr int64_t kLegacyEosTokenId = 2;

nn::Activation parse_activation(const io::Config& config) {
  const std::string name = config.string_or("hidden_act", "quick_gelu");
  const auto activation = nn::find_activation(name);
  if (!activation)
    throw UnsupportedModel(message("[", config.origin(), "] 'hidden_act': expected gelu, ",
                                   "quick_gelu or silu but got '", name, "'"));
  return *activation;
}

bool names_projection(const io::Config& config) {
  for (const std::string& name : config.strings_or("architectures", {}))
    if (name == "CLIPTextModelWithProjection") return true;
  return false;
}

/// -inf where a token of `x` [B, N, hidden] doesn't see another: those behind it and hidden ones.
Tensor mask_of(const Tensor& x, std::span<const HiddenTokens> hidden) {
  constexpr double kUnseen = -std::numeric_limits<double>::infinity();
  const int64_t count = x.size(1);
  const Tensor mask = at::full({x.size(0), 1, count, count}, kUnseen, x.options()).triu(1);
  for (const HiddenTokens& tokens : hidden)
    mask.select(0, tokens.row).narrow(-1, tokens.begin, tokens.end - tokens.begin).fill_(kUnseen);
  return mask;
}

}  // namespace

ClipTextConfig ClipTextConfig::from(const io::Config& config) {
  ClipTextConfig result;
  result.vocab_size = config.positive_or("vocab_size", result.vocab_size);
  result.hidden_size = config.positive_or("hidden_size", result.hidden_size);
  result.intermediate_size = config.positive_or("intermediate_size", result.intermediate_size);
  result.num_hidden_layers = config.positive_or("num_hidden_layers", result.num_hidden_layers);
  result.num_attention_heads =
      config.positive_or("num_attention_heads", result.num_attention_heads);
  result.max_position_embeddings =
      config.positive_or("max_position_embeddings", result.max_position_embeddings);
  result.projection_dim = config.positive_or("projection_dim", result.projection_dim);
  result.eos_token_id = config.int64_or("eos_token_id", result.eos_token_id);
  result.layer_norm_eps = config.double_or("layer_norm_eps", result.layer_norm_eps);
  result.hidden_act = parse_activation(config);
  result.projected = names_projection(config);
  if (result.hidden_size % result.num_attention_heads != 0)
    config.reject("num_attention_heads", "a divisor of hidden_size");
  return result;
}

ClipEncoderLayer::ClipEncoderLayer(const io::WeightScope& scope, const ClipTextConfig& config)
    : layer_norm1_(scope / "layer_norm1", config.hidden_size, config.layer_norm_eps),
      q_proj_(scope / "self_attn.q_proj", config.hidden_size, config.hidden_size),
      k_proj_(scope / "self_attn.k_proj", config.hidden_size, config.hidden_size),
      v_proj_(scope / "self_attn.v_proj", config.hidden_size, config.hidden_size),
      out_proj_(scope / "self_attn.out_proj", config.hidden_size, config.hidden_size),
      layer_norm2_(scope / "layer_norm2", config.hidden_size, config.layer_norm_eps),
      fc1_(scope / "mlp.fc1", config.hidden_size, config.intermediate_size),
      fc2_(scope / "mlp.fc2", config.intermediate_size, config.hidden_size),
      heads_(config.num_attention_heads),
      activation_(config.hidden_act) {}

Tensor ClipEncoderLayer::operator()(const Tensor& x, const std::optional<Tensor>& mask) const {
  const Tensor normed = layer_norm1_(x);
  const Tensor attended = nn::attention(q_proj_(normed), k_proj_(normed), v_proj_(normed), heads_,
                                        {.causal = !mask, .mask = mask});
  const Tensor y = out_proj_.add(attended, x);
  return fc2_.add(fc1_.activated(layer_norm2_(y), activation_), y);
}

ClipTextEncoder::ClipTextEncoder(const io::WeightScope& scope, const ClipTextConfig& config)
    : config_(config),
      token_embedding_(scope / "embeddings.token_embedding", config.vocab_size, config.hidden_size),
      position_embedding_(scope / "embeddings.position_embedding", config.max_position_embeddings,
                          config.hidden_size),
      final_layer_norm_(scope / "final_layer_norm", config.hidden_size, config.layer_norm_eps),
      device_(scope.device()) {
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.emplace_back(scope / "encoder.layers" / i, config);
  if (config.projected || scope.contains("text_projection.weight"))
    text_projection_.emplace(scope / "text_projection", config.hidden_size, config.projection_dim,
                             /*bias=*/false);
}

ClipTextOutput ClipTextEncoder::operator()(const Tensor& ids, std::span<const LearnedToken> learned,
                                           std::span<const HiddenTokens> hidden) const {
  SDRBEE_CHECK_SHAPE(ids, {-1, -1});
  SDRBEE_CHECK(ids.size(1) <= config_.max_position_embeddings);
  const auto largest = ids.max().item<int64_t>();
  if (largest >= config_.vocab_size || ids.min().item<int64_t>() < 0)
    throw CheckpointError(message("[text_encoder] expected token ids below vocab_size ",
                                  config_.vocab_size, " but got ", largest,
                                  ": the tokenizer belongs to another text encoder"));
  const Tensor on_device = ids.to(device_);
  const Tensor tokens = token_embedding_(on_device);
  for (const LearnedToken& token : learned)
    tokens.select(0, token.row).select(0, token.column).copy_(token.vector);
  ClipTextOutput output;
  output.hidden_states.push_back(tokens.add(position_embedding_.first(ids.size(1))));
  const std::optional<Tensor> mask =
      hidden.empty() ? std::nullopt : std::optional(mask_of(output.hidden_states.front(), hidden));
  for (const ClipEncoderLayer& layer : layers_)
    output.hidden_states.push_back(layer(output.hidden_states.back(), mask));
  output.last_hidden_state = final_layer_norm_(output.hidden_states.back());
  output.pooled = pool(on_device, output.last_hidden_state);
  if (text_projection_) output.text_embeds = (*text_projection_)(output.pooled);
  return output;
}

Tensor ClipTextEncoder::pool(const Tensor& ids, const Tensor& last_hidden_state) const {
  // The first end-of-text token; under a legacy configuration the token of the highest id, which
  // end-of-text is in the vocabularies of that time.
  const Tensor ranked =
      config_.eos_token_id == kLegacyEosTokenId ? ids : ids.eq(config_.eos_token_id).to(at::kInt);
  const Tensor rows = at::arange(ids.size(0), ids.options());
  return last_hidden_state.index({rows, ranked.argmax(-1)});  // [B, N, hidden] -> [B, hidden]
}

Tensor ClipTextEncoder::skip_layers(const ClipTextOutput& output, int64_t clip_skip) const {
  const auto count = static_cast<int64_t>(output.hidden_states.size());
  SDRBEE_CHECK(clip_skip >= 0 && clip_skip < count, clip_skip);
  if (clip_skip == 0) return output.last_hidden_state;
  return final_layer_norm_(output.hidden_states[static_cast<size_t>(count - 1 - clip_skip)]);
}

}  // namespace sdrbee::text
