#include "sdrbee/control/t2i_adapter_config.h"

#include <algorithm>
#include <utility>

#include "sdrbee/control/opened_control.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/tensor.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::control {
namespace {

constexpr const char* kFull = "full_adapter";
constexpr const char* kFullXl = "full_adapter_xl";
constexpr const char* kLight = "light_adapter";

constexpr const char* kBody = "adapter.body.";
constexpr size_t kHalvingBlockXl = 2;  // the only one in adapters for XL

std::vector<AdapterBlockShape> full_blocks(const std::vector<int64_t>& widths) {
  std::vector<AdapterBlockShape> blocks;
  for (size_t i = 0; i < widths.size(); ++i)
    blocks.push_back({widths[i > 0 ? i - 1 : 0], widths[i], /*halves=*/i > 0});
  return blocks;
}

std::vector<AdapterBlockShape> xl_blocks(const std::vector<int64_t>& widths) {
  std::vector<AdapterBlockShape> blocks;
  for (size_t i = 0; i < widths.size(); ++i) {
    const bool widens = i == 1 || i == kHalvingBlockXl;
    blocks.push_back({widths[widens ? i - 1 : i], widths[i], i == kHalvingBlockXl});
  }
  return blocks;
}

std::vector<AdapterBlockShape> light_blocks(std::vector<int64_t> widths, int64_t in) {
  widths.push_back(widths.back());
  std::vector<AdapterBlockShape> blocks;
  for (const int64_t width : widths) {
    blocks.push_back({in, width, /*halves=*/!blocks.empty()});
    in = width;
  }
  return blocks;
}

[[noreturn]] void refuse(const std::string& origin, const AdapterPlace& place,
                         const std::string& found) {
  throw InvalidRequest(
      message("[controls] expected a T2I-Adapter for this model, with features of ",
              shape_text(place.widths), " channels in cells of ", shape_text(place.cells),
              " pixels, but '", origin, "' ", found));
}

}  // namespace

T2iAdapterConfig T2iAdapterConfig::from(const io::Config& config) {
  T2iAdapterConfig result;
  const std::string type = config.string_or("adapter_type", kFull);
  if (type != kFull && type != kFullXl && type != kLight)
    throw UnsupportedModel(message("[", config.origin(), "] 'adapter_type': expected ", kFull, ", ",
                                   kFullXl, " or ", kLight, " but got '", type, "'"));
  result.light = type == kLight;
  result.image_channels = config.positive_or("in_channels", result.image_channels);
  if (result.image_channels != 1 && result.image_channels != 3)
    config.reject("in_channels", "1 or 3");
  result.downscale = config.positive_or("downscale_factor", type == kFullXl ? 16 : 8);
  result.res_blocks = config.positive_or("num_res_blocks", result.res_blocks);
  const std::vector<int64_t> widths = config.int64s_or("channels", {320, 640, 1280, 1280});
  const auto is_width = [&](int64_t width) {
    return width > 0 && (!result.light || width % 4 == 0);
  };
  if (widths.empty() || !std::ranges::all_of(widths, is_width))
    config.reject("channels", "positive integers, multiples of 4 in a light adapter");
  result.blocks = result.light      ? light_blocks(widths, result.unshuffled_channels())
                  : type == kFullXl ? xl_blocks(widths)
                                    : full_blocks(widths);
  return result;
}

AdapterPlace AdapterPlace::of(const Unet2DConditionConfig& unet, int64_t latent_cell) {
  AdapterPlace place;
  int64_t cell = latent_cell;
  for (size_t i = 0; i < unet.down_blocks.size(); ++i) {
    const UnetBlockConfig& block = unet.down_blocks[i];
    const int64_t next = i + 1 < unet.down_blocks.size() ? 2 * cell : cell;
    place.widths.push_back(block.channels);
    place.cells.push_back(block.has_attention() ? cell : next);
    cell = next;
  }
  return place;
}

io::Config told_adapter_config(const io::WeightSource& weights, const AdapterPlace& place) {
  const bool light = weights.find(message(kBody, "0.out_conv.weight")).has_value();
  const char* width_key = light ? ".out_conv.weight" : ".resnets.0.block1.weight";
  int64_t features = count_numbered(weights, kBody, width_key);
  if (light) --features;  // the last one is as wide as the one before
  std::vector<int64_t> widths;
  for (int64_t i = 0; i < features; ++i)
    widths.push_back(extent(weights, message(kBody, i, width_key), 0));
  const int64_t cell = place.cells.front();
  const int64_t inputs =
      extent(weights, light ? message(kBody, "0.in_conv.weight") : "adapter.conv_in.weight", 1);
  if (inputs != cell * cell && inputs != 3 * cell * cell)
    refuse(weights.origin(""), place,
           message("takes ", inputs, " values of the picture for a cell"));
  const bool is_xl = place.cells.size() > 1 && place.cells[0] == place.cells[1];
  io::Json told = {
      {"_class_name", kAdapterClass},
      {"adapter_type", light   ? kLight
                       : is_xl ? kFullXl
                               : kFull},
      {"channels", widths},
      {"downscale_factor", cell},
      {"in_channels", inputs / (cell * cell)},
      {"num_res_blocks", count_numbered(weights, message(kBody, "0.resnets."), ".block1.weight")}};
  return io::Config(std::move(told), weights.origin(""));
}

void check_fit(const T2iAdapterConfig& adapter, const AdapterPlace& place,
               const std::string& origin) {
  std::vector<int64_t> widths;
  std::vector<int64_t> cells;
  for (const AdapterBlockShape& block : adapter.blocks) {
    if (widths.size() == place.widths.size()) break;
    cells.push_back((cells.empty() ? adapter.downscale : cells.back()) * (block.halves ? 2 : 1));
    widths.push_back(block.out);
  }
  const auto begins = [](const std::vector<int64_t>& whole, const std::vector<int64_t>& part) {
    return std::equal(part.begin(), part.end(), whole.begin());
  };
  if (begins(place.widths, widths) && begins(place.cells, cells)) return;
  refuse(origin, place,
         message("has ", shape_text(widths), " channels in cells of ", shape_text(cells)));
}

}  // namespace sdrbee::control
