#include "sdrbee/control/controlnet_config.h"

#include <algorithm>
#include <string>

#include "sdrbee/control/opened_control.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/tensor.h"

namespace sdrbee::control {
namespace {

std::vector<int64_t> widths_of(const Unet2DConditionConfig& unet) {
  std::vector<int64_t> widths;
  for (const UnetBlockConfig& block : unet.down_blocks) widths.push_back(block.channels);
  return widths;
}

/// Channels of the text; 0 where no block looks at it, as in the smallest ControlNets.
int64_t text_channels(const Unet2DConditionConfig& unet) {
  for (const UnetBlockConfig& block : unet.down_blocks)
    if (block.has_attention()) return block.cross_attention_dim;
  const bool in_middle = unet.mid_block && unet.mid_block->has_attention();
  return in_middle ? unet.mid_block->cross_attention_dim : 0;
}

bool is_alike(const Unet2DConditionConfig& control, const Unet2DConditionConfig& unet) {
  const auto layers = [](const UnetBlockConfig& a, const UnetBlockConfig& b) {
    return a.layers == b.layers;
  };
  const int64_t text = text_channels(control);
  const int64_t addition = control.addition ? control.addition->input_width : 0;
  return widths_of(control) == widths_of(unet) &&
         std::ranges::equal(control.down_blocks, unet.down_blocks, layers) &&
         control.in_channels == unet.out_channels && (text == 0 || text == text_channels(unet)) &&
         (!control.addition || (unet.addition && unet.addition->input_width == addition));
}

TypeFusionConfig read_fusion(const io::Config& config) {
  TypeFusionConfig fusion;
  fusion.types = config.positive_or("num_control_type", fusion.types);
  fusion.channels = config.positive_or("num_trans_channel", fusion.channels);
  fusion.heads = config.positive_or("num_trans_head", fusion.heads);
  fusion.layers = config.positive_or("num_trans_layer", fusion.layers);
  fusion.time_width = config.positive_or("addition_time_embed_dim", fusion.time_width);
  if (fusion.channels % fusion.heads != 0)
    config.reject("num_trans_head", "a number that divides num_trans_channel");
  return fusion;
}

}  // namespace

std::string models_of(const Unet2DConditionConfig& unet) {
  if (unet.addition) return "Stable Diffusion XL";
  const int64_t channels = text_channels(unet);
  if (channels == 768) return "Stable Diffusion 1.x";
  if (channels == 1024) return "Stable Diffusion 2.x";
  return message("models with texts of ", channels, " channels");
}

ControlNetConfig ControlNetConfig::from(const io::Config& config) {
  ControlNetConfig result;
  result.unet = Unet2DConditionConfig::from(config);
  result.image_channels = config.int64_or("conditioning_channels", 3);
  if (result.image_channels != 3) config.reject("conditioning_channels", "3");
  const bool has_types = config.string_or("_class_name", kControlNetClass) == kUnionClass;
  result.image_widths = config.int64s_or(
      "conditioning_embedding_out_channels",
      has_types ? std::vector<int64_t>{48, 96, 192, 384} : std::vector<int64_t>{16, 32, 96, 256});
  const auto is_positive = [](int64_t width) { return width > 0; };
  if (result.image_widths.empty() || !std::ranges::all_of(result.image_widths, is_positive))
    config.reject("conditioning_embedding_out_channels", "positive integers");
  const std::string order = config.string_or("controlnet_conditioning_channel_order", "rgb");
  if (order != "rgb" && order != "bgr")
    config.reject("controlnet_conditioning_channel_order", "'rgb' or 'bgr'");
  result.image_is_bgr = order == "bgr";
  if (has_types) result.fusion = read_fusion(config);
  result.global_pool_conditions = config.bool_or("global_pool_conditions", false);
  return result;
}

void check_fit(const ControlNetConfig& control, const Unet2DConditionConfig& unet,
               const std::string& origin) {
  if (is_alike(control.unet, unet)) return;
  throw InvalidRequest(message("[controls] expected a ControlNet for ", models_of(unet),
                               " with blocks of widths ", shape_text(widths_of(unet)), ", but '",
                               origin, "' is for ", models_of(control.unet), " with widths ",
                               shape_text(widths_of(control.unet))));
}

}  // namespace sdrbee::control
