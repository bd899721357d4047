#include "sdrbee/lora/block_strengths.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <span>

#include "sdrbee/core/error.h"

namespace sdrbee::lora {
namespace {

enum class Part { Base, Input, Middle, Output, T5, Double, Single };

struct Block {
  Part part = Part::Base;
  int64_t index = 0;
  bool operator==(const Block&) const = default;
};

struct Run {
  Part part;
  int64_t first;
  int64_t last;
};

// Each list as runs of neighbouring blocks, in its order.
constexpr std::array kXl12 = {Run{Part::Base, 0, 0}, Run{Part::Input, 4, 5}, Run{Part::Input, 7, 8},
                              Run{Part::Middle, 0, 0}, Run{Part::Output, 0, 5}};
constexpr std::array kSd17 = {Run{Part::Base, 0, 0},   Run{Part::Input, 1, 2},
                              Run{Part::Input, 4, 5},  Run{Part::Input, 7, 8},
                              Run{Part::Middle, 0, 0}, Run{Part::Output, 3, 11}};
constexpr std::array kXl20 = {Run{Part::Base, 0, 0}, Run{Part::Input, 0, 8},
                              Run{Part::Middle, 0, 0}, Run{Part::Output, 0, 8}};
constexpr std::array kSd26 = {Run{Part::Base, 0, 0}, Run{Part::Input, 0, 11},
                              Run{Part::Middle, 0, 0}, Run{Part::Output, 0, 11}};
constexpr std::array kFlux61 = {Run{Part::Base, 0, 0},    Run{Part::T5, 0, 0},
                                Run{Part::Input, 0, 0},   Run{Part::Double, 0, 18},
                                Run{Part::Single, 0, 37}, Run{Part::Output, 0, 0}};
constexpr std::array<std::span<const Run>, 5> kLists = {kXl12, kSd17, kXl20, kSd26, kFlux61};

size_t length(std::span<const Run> list) {
  int64_t count = 0;
  for (const Run& run : list) count += run.last - run.first + 1;
  return static_cast<size_t>(count);
}

std::span<const Run> list_of(size_t count) {
  const auto found = std::ranges::find_if(
      kLists, [&](std::span<const Run> list) { return length(list) == count; });
  return found == kLists.end() ? std::span<const Run>{} : *found;
}

/// The number between `before` and the next dot: 3 for "up_blocks.3.resnets" and "up_blocks.".
std::optional<int64_t> number_after(const std::string& name, std::string_view before) {
  const size_t found = name.find(before);
  if (found == std::string::npos) return std::nullopt;
  return std::strtoll(name.c_str() + found + before.size(), nullptr, 10);
}

int64_t layers_per_block(const io::WeightSource& weights) {
  int64_t layers = 0;
  while (weights.find("down_blocks.0.resnets." + std::to_string(layers) + ".conv1.weight"))
    ++layers;
  return layers;
}

bool is_flux(const io::WeightSource& weights) {
  return weights.find("single_transformer_blocks.0.proj_mlp.weight").has_value();
}

Block flux_block_of(const std::string& layer) {
  if (const auto index = number_after(layer, "single_transformer_blocks."))
    return {Part::Single, *index};
  if (const auto index = number_after(layer, "transformer_blocks.")) return {Part::Double, *index};
  const bool last = layer.starts_with("norm_out") || layer.starts_with("proj_out");
  return {last ? Part::Output : Part::Input, 0};
}

/// Of a text encoder: those of Stable Diffusion have one entry together.
Block encoder_block(std::string_view component, bool flux) {
  return flux && component == "text_encoder_2" ? Block{Part::T5, 0} : Block{};
}

/// Throws InvalidRequest unless the list is for models of these weights.
void check_model(size_t count, bool for_flux, const io::WeightSource& weights) {
  if (for_flux ? is_flux(weights) : layers_per_block(weights) > 0) return;
  throw InvalidRequest(message("[loras] a list of ", count, " strengths of blocks is for ",
                               for_flux ? "FLUX.1" : "Stable Diffusion 1.x, 2.x and XL",
                               ", which this model is not"));
}

std::optional<Block> block_of(const std::string& layer, const io::WeightSource& weights) {
  if (is_flux(weights)) return flux_block_of(layer);
  if (layer == "conv_in") return Block{Part::Input, 0};
  if (layer.starts_with("mid_block.")) return Block{Part::Middle, 0};
  const int64_t layers = layers_per_block(weights);
  const auto within = [&] {
    if (const auto one = number_after(layer, ".resnets.")) return *one;
    return number_after(layer, ".attentions.").value_or(layers);  // behind them: the sampler
  };
  if (layer.starts_with("down_blocks."))
    return Block{Part::Input, 1 + *number_after(layer, "down_blocks.") * (layers + 1) + within()};
  if (layer.starts_with("up_blocks."))
    return Block{Part::Output, *number_after(layer, "up_blocks.") * (layers + 1) + within()};
  return std::nullopt;
}

}  // namespace

void check_block_strengths(const std::string& name, const std::vector<double>& strengths) {
  if (strengths.empty()) return;
  if (list_of(strengths.size()).empty())
    throw InvalidRequest(message("[loras] '", name,
                                 "': expected 17 or 26 (Stable Diffusion), 12 or 20 (XL), ",
                                 "or 61 (FLUX.1) strengths of blocks but got ", strengths.size()));
  for (const double strength : strengths)
    if (!std::isfinite(strength))
      throw InvalidRequest(
          message("[loras] '", name, "': expected finite strengths of blocks but got ", strength));
}

double block_strength(const std::vector<double>& strengths, std::string_view component,
                      const std::string& layer, const io::WeightSource& weights) {
  if (strengths.empty()) return 1.0;
  const bool for_flux = strengths.size() == length(kFlux61);
  const bool encoder = component.starts_with("text_encoder");
  if (!encoder) check_model(strengths.size(), for_flux, weights);
  const std::optional<Block> block =
      encoder ? encoder_block(component, for_flux) : block_of(layer, weights);
  if (!block) return 1.0;
  size_t entry = 0;
  for (const Run& run : list_of(strengths.size()))
    for (int64_t index = run.first; index <= run.last; ++index, ++entry)
      if (*block == Block{run.part, index}) return strengths[entry];
  return 0.0;
}

}  // namespace sdrbee::lora
