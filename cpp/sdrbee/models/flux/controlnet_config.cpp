#include "sdrbee/models/flux/controlnet_config.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"
#include "sdrbee/models/flux/patches.h"

namespace sdrbee::flux {
namespace {

using io::Json;

constexpr const char* kPatchKey = "patch_size";
constexpr const char* kHintKey = "conditioning_embedding_channels";
constexpr const char* kHint = "input_hint_block.conv_out.weight";
constexpr const char* kModes = "controlnet_mode_embedder.weight";
constexpr const char* kAxesKey = "axes_dims_rope";

/// https://huggingface.co/InstantX/FLUX.1-dev-Controlnet-Union
/// https://huggingface.co/Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro
constexpr std::array<std::pair<std::string_view, int64_t>, 9> kModeNames = {{
    {"canny", 0},
    {"tile", 1},
    {"depth", 2},
    {"blur", 3},
    {"pose", 4},
    {"openpose", 4},
    {"gray", 5},
    {"lq", 6},
    {"low_quality", 6},
}};

std::string models_of(const TransformerConfig& config) {
  return message("FLUX.1 models of ", config.width(), " channels with texts of ",
                 config.joint_attention_dim, " and latents of ",
                 config.out_channels / (kPatch * kPatch));
}

}  // namespace

ControlNetConfig ControlNetConfig::from(const io::Config& config) {
  ControlNetConfig result;
  result.modes = config.int64_or("num_mode", 0);
  result.hint_channels = config.int64_or(kHintKey, 0);
  if (result.modes < 0) config.reject("num_mode", "a number of modes");
  // The size of patches is that of what convolutions make; latents are in patches already.
  Json plain = config.json();
  plain.erase(kPatchKey);
  result.transformer = TransformerConfig::from(io::Config(std::move(plain), config.origin()));
  if (result.hint_channels == 0) return result;
  config.require(kPatchKey, kPatch);
  if (result.hint_channels * kPatch * kPatch != result.transformer.in_channels)
    config.reject(kHintKey, "a quarter of 'in_channels'");
  return result;
}

io::Config read_controlnet_config(const io::WeightSource& weights, const io::Config& base) {
  const std::string first = "x_embedder.weight";
  const std::vector<int64_t> input = shape_of(weights, first, 2);
  const int64_t head = extent(weights, "transformer_blocks.0.attn.norm_q.weight", 0);
  Json told = {
      {"_class_name", "FluxControlNetModel"},
      {"in_channels", input[1]},
      {"num_layers", count_numbered(weights, "transformer_blocks.", ".norm1.linear.weight")},
      {"num_single_layers",
       count_numbered(weights, "single_transformer_blocks.", ".proj_mlp.weight")},
      {"attention_head_dim", head},
      {"num_attention_heads", input[0] / std::max<int64_t>(1, head)},
      {"joint_attention_dim", extent(weights, "context_embedder.weight", 1)},
      {"pooled_projection_dim",
       extent(weights, "time_text_embed.text_embedder.linear_1.weight", 1)},
      {"guidance_embeds",
       weights.find("time_text_embed.guidance_embedder.linear_1.weight").has_value()}};
  if (weights.find(kModes)) told["num_mode"] = extent(weights, kModes, 0);
  if (weights.find(kHint)) {
    told[kHintKey] = extent(weights, kHint, 0);
    told[kPatchKey] = kPatch;
  }
  if (base.has(kAxesKey)) told[kAxesKey] = base.json().at(kAxesKey);
  return io::Config(std::move(told), weights.origin(first));
}

void check_fit(const ControlNetConfig& control, const TransformerConfig& base,
               const std::string& origin) {
  const TransformerConfig& own = control.transformer;
  const bool fits = own.width() == base.width() && own.in_channels == base.out_channels &&
                    own.joint_attention_dim == base.joint_attention_dim &&
                    own.pooled_projection_dim == base.pooled_projection_dim;
  if (fits) return;
  throw InvalidRequest(message("[controls] expected a ControlNet for ", models_of(base), ", but '",
                               origin, "' is for ", models_of(own)));
}

int64_t find_mode(const std::string& type, int64_t count) {
  std::string known;
  for (const auto& [name, index] : kModeNames) {
    if (index >= count) continue;
    if (name == type) return index;
    known += message(known.empty() ? "'" : ", '", name, "'");
  }
  throw InvalidRequest(message("[controls] this ControlNet follows several types of pictures; ",
                               "expected a `type` of ", known, " but got '", type, "'"));
}

}  // namespace sdrbee::flux
