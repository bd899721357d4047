#include "sdrbee/models/common/unet_2d_condition_config.h"

#include <algorithm>
#include <string>

#include "sdrbee/core/error.h"
#include "sdrbee/nn/activation.h"

namespace sdrbee {
namespace {

constexpr size_t kMaxWidths = 16;

[[noreturn]] void unsupported(const io::Config& config, const char* key, const std::string& known) {
  throw UnsupportedModel(message("[", config.origin(), "] '", key, "': only ", known,
                                 " is supported but got ", config.json().at(key).dump()));
}

bool is_null(const io::Config& config, const char* key) {
  return config.json().contains(key) && config.json().at(key).is_null();
}

int64_t odd_kernel(const io::Config& config, const char* key) {
  const int64_t value = config.positive_or(key, 3);
  if (value % 2 == 0) unsupported(config, key, "an odd kernel");
  return value;
}

/// One positive value per block from a list of as many or from a single value.
std::vector<int64_t> per_block(const io::Config& config, const char* key, int64_t fallback,
                               size_t count) {
  std::vector<int64_t> values = config.int64s_or(key, {fallback});
  if (values.size() == 1) values.resize(count, values.front());
  if (values.size() != count) config.reject(key, "one value, or one for each block");
  for (const int64_t value : values)
    if (value < 1) config.reject(key, "positive integers");
  return values;
}

/// Transformer layers after each of `layers` residual blocks: one number for all, or a list.
std::vector<int64_t> depths_of(const io::Config& config, const char* key, const io::Json& value,
                               int64_t layers) {
  const auto is_depth = [](const io::Json& depth) {
    return depth.is_number_integer() && depth.get<int64_t>() >= 0;
  };
  if (is_depth(value))
    return std::vector<int64_t>(static_cast<size_t>(layers), value.get<int64_t>());
  if (!value.is_array() || static_cast<int64_t>(value.size()) < layers ||
      !std::all_of(value.begin(), value.end(), is_depth))
    config.reject(key, "numbers of layers, or lists with one for each residual block");
  auto depths = value.get<std::vector<int64_t>>();
  depths.resize(static_cast<size_t>(layers));
  return depths;
}

/// The entry for each block of a key that holds one value for all or a list.
std::vector<io::Json> entries(const io::Config& config, const char* key, const io::Json& fallback,
                              size_t count) {
  const io::Json value = config.has(key) ? config.json().at(key) : fallback;
  if (!value.is_array()) return std::vector<io::Json>(count, value);
  if (value.size() != count) config.reject(key, "one value, or one for each block");
  return value.get<std::vector<io::Json>>();
}

/// Options of UNets that are none of Stable Diffusion's.
void require_usual_options(const io::Config& config) {
  config.require("center_input_sample", false);
  config.require("mid_block_scale_factor", 1);
  config.require("encoder_hid_dim", nullptr);
  config.require("encoder_hid_dim_type", nullptr);
  config.require("dual_cross_attention", false);
  config.require("class_embed_type", nullptr);
  config.require("num_class_embeds", nullptr);
  config.require("resnet_time_scale_shift", "default");
  config.require("resnet_skip_time_act", false);
  config.require("resnet_out_scale_factor", 1);
  config.require("time_embedding_type", "positional");
  config.require("time_embedding_act_fn", nullptr);
  config.require("timestep_post_act", nullptr);
  config.require("attention_type", "default");
  config.require("class_embeddings_concat", false);
  config.require("cross_attention_norm", nullptr);
  if (nn::find_activation(config.string_or("act_fn", "silu")) != nn::Activation::Silu)
    unsupported(config, "act_fn", "silu");
  for (const char* key : {"norm_num_groups", "cross_attention_dim"})
    if (is_null(config, key)) unsupported(config, key, "a number");
}

/// Reads what the file says of the blocks, from the highest resolution down.
class BlockReader {
 public:
  explicit BlockReader(const io::Config& config)
      : config_(config),
        channels_(config.int64s_or("block_out_channels", {320, 640, 1280, 1280})),
        count_(channels_.size()) {
    if (count_ < 1 || count_ > kMaxWidths) config.reject("block_out_channels", "1 to 16 widths");
    channels_ = per_block(config, "block_out_channels", 320, count_);
    layers_ = per_block(config, "layers_per_block", 2, count_);
    // What the files call the width of a head has always been the number of heads:
    // https://github.com/huggingface/diffusers/issues/2011#issuecomment-1547958131
    heads_ = config.has("num_attention_heads") ? per_block(config, "num_attention_heads", 8, count_)
                                               : per_block(config, "attention_head_dim", 8, count_);
    cross_attention_dims_ = per_block(config, "cross_attention_dim", 1280, count_);
    only_cross_attention_ = config.bools_or("only_cross_attention", {false});
    if (only_cross_attention_.size() == 1)
      only_cross_attention_.resize(count_, only_cross_attention_.front());
    if (only_cross_attention_.size() != count_)
      config.reject("only_cross_attention", "one value, or one for each block");
    depths_ = entries(config, kDepths, 1, count_);
    if (config.has(kReverseDepths)) {
      reverse_depths_ = entries(config, kReverseDepths, 1, count_);
    } else {
      if (std::any_of(depths_.begin(), depths_.end(), [](const auto& d) { return d.is_array(); }))
        config.reject(kReverseDepths, "a list, as transformer_layers_per_block holds lists");
      reverse_depths_.assign(depths_.rbegin(), depths_.rend());
    }
  }

  std::vector<UnetBlockConfig> down() const {
    const auto attended = with_attention("down_block_types", "CrossAttnDownBlock2D", "DownBlock2D",
                                         /*plain_at=*/count_ - 1);
    std::vector<UnetBlockConfig> blocks;
    for (size_t i = 0; i < count_; ++i) {
      UnetBlockConfig& block = blocks.emplace_back(at_resolution(i));
      if (attended[i])
        block.transformer_layers = depths_of(config_, kDepths, depths_[i], block.layers);
    }
    return blocks;
  }

  std::vector<UnetBlockConfig> up() const {
    const auto attended =
        with_attention("up_block_types", "CrossAttnUpBlock2D", "UpBlock2D", /*plain_at=*/0);
    std::vector<UnetBlockConfig> blocks;
    for (size_t i = 0; i < count_; ++i) {
      UnetBlockConfig& block = blocks.emplace_back(at_resolution(count_ - 1 - i));
      ++block.layers;
      if (attended[i])
        block.transformer_layers =
            depths_of(config_, kReverseDepths, reverse_depths_[i], block.layers);
    }
    return blocks;
  }

  std::optional<UnetBlockConfig> mid() const {
    if (is_null(config_, "mid_block_type")) return std::nullopt;
    const std::string type = config_.string_or("mid_block_type", "UNetMidBlock2DCrossAttn");
    UnetBlockConfig block = at_resolution(count_ - 1);
    block.only_cross_attention = false;  // the middle block does not know this option
    block.layers = 1;
    if (type == "UNetMidBlock2D") return block;
    if (type != "UNetMidBlock2DCrossAttn")
      unsupported(config_, "mid_block_type", "UNetMidBlock2DCrossAttn or UNetMidBlock2D");
    block.layers = 2;
    block.transformer_layers = depths_of(config_, kDepths, depths_.back(), 1);
    return block;
  }

 private:
  static constexpr const char* kDepths = "transformer_layers_per_block";
  static constexpr const char* kReverseDepths = "reverse_transformer_layers_per_block";

  UnetBlockConfig at_resolution(size_t i) const {
    return {.channels = channels_[i],
            .layers = layers_[i],
            .transformer_layers = {},
            .heads = heads_[i],
            .cross_attention_dim = cross_attention_dims_[i],
            .only_cross_attention = only_cross_attention_[i]};
  }

  /// Which blocks of a side have attention; by default all but the one at `plain_at`.
  std::vector<bool> with_attention(const char* key, const std::string& with,
                                   const std::string& without, size_t plain_at) const {
    std::vector<std::string> types(count_, with);
    types[plain_at] = without;
    types = config_.strings_or(key, types);
    if (types.size() != count_) config_.reject(key, "as many entries as block_out_channels");
    std::vector<bool> result;
    for (const std::string& type : types) {
      if (type != with && type != without) unsupported(config_, key, with + " or " + without);
      result.push_back(type == with);
    }
    return result;
  }

  const io::Config& config_;
  std::vector<int64_t> channels_;
  size_t count_;
  std::vector<int64_t> layers_;
  std::vector<int64_t> heads_;
  std::vector<int64_t> cross_attention_dims_;
  std::vector<bool> only_cross_attention_;
  std::vector<io::Json> depths_;
  std::vector<io::Json> reverse_depths_;
};

std::optional<AdditionEmbeddingConfig> read_addition(const io::Config& config) {
  if (!config.has("addition_embed_type")) return std::nullopt;
  config.require("addition_embed_type", "text_time");
  return AdditionEmbeddingConfig{
      .time_width = config.positive_or("addition_time_embed_dim", 0),
      .input_width = config.positive_or("projection_class_embeddings_input_dim", 0)};
}

void check_heads(const io::Config& config, const UnetBlockConfig& block) {
  if (block.has_attention() && block.channels % block.heads != 0)
    unsupported(config,
                config.has("num_attention_heads") ? "num_attention_heads" : "attention_head_dim",
                "a number of heads that divides block_out_channels");
}

}  // namespace

Unet2DConditionConfig Unet2DConditionConfig::from(const io::Config& config) {
  require_usual_options(config);
  const BlockReader blocks(config);
  Unet2DConditionConfig result;
  result.in_channels = config.positive_or("in_channels", result.in_channels);
  result.out_channels = config.positive_or("out_channels", result.out_channels);
  result.down_blocks = blocks.down();
  result.mid_block = blocks.mid();
  result.up_blocks = blocks.up();
  for (const auto& block : result.down_blocks) check_heads(config, block);
  for (const auto& block : result.up_blocks) check_heads(config, block);
  if (result.mid_block) check_heads(config, *result.mid_block);
  result.norm_num_groups = config.positive_or("norm_num_groups", result.norm_num_groups);
  result.norm_eps = config.double_or("norm_eps", result.norm_eps);
  const int64_t padding = config.int64_or("downsample_padding", 1);
  if (padding != 0 && padding != 1) unsupported(config, "downsample_padding", "0 or 1");
  result.downsample_all_sides = padding == 1;
  result.conv_in_kernel = odd_kernel(config, "conv_in_kernel");
  result.conv_out_kernel = odd_kernel(config, "conv_out_kernel");
  result.flip_sin_to_cos = config.bool_or("flip_sin_to_cos", result.flip_sin_to_cos);
  result.freq_shift = config.double_or("freq_shift", result.freq_shift);
  result.time_embedding_dim =
      config.positive_or("time_embedding_dim", 4 * result.down_blocks.front().channels);
  if (config.has("time_cond_proj_dim"))
    result.time_cond_proj_dim = config.positive_or("time_cond_proj_dim", 0);
  result.addition = read_addition(config);
  return result;
}

}  // namespace sdrbee
