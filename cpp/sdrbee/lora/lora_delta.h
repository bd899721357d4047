// What a LoRA adds to a weight.
#pragma once

#include <optional>

#include "sdrbee/lora/lora_file.h"

namespace sdrbee::lora {

/// up [out, rank] x down [rank, in * ...]: a difference that needs not be written out.
struct LowRank {
  Tensor up;
  Tensor down;
};

/// Which rows of a module's difference a weight gets. Some files have as one layer what the model
/// has as several, one behind the other, or the halves of a layer the other way around.
struct Rows {
  int64_t whole = 0;  ///< of the module; 0: all are the weight's
  int64_t begin = 0;
  int64_t count = 0;
  bool halves_swapped = false;
  bool operator==(const Rows&) const = default;
};

/// Throws CheckpointError, naming file, key and both shapes, unless the module's tensors make a
/// difference of a weight of this shape, or of so many weights with these rows together.
void check_shapes(const LoraFile& file, const LoraModule& module, at::IntArrayRef weight,
                  size_t weights = 1);

/// The same for the change of a bias.
void check_bias_shape(const LoraFile& file, const LoraModule& module, at::IntArrayRef bias);

/// The two factors, scaled by alpha / rank and `strength`, fp32, where the module has just them;
/// nothing for other kinds.
std::optional<LowRank> low_rank(const LoraFile& file, const LoraModule& module, double strength,
                                const Rows& rows = {});

/// What is added to `weight` (the model's own, fp32), of its shape, fp32. LoRA and LoCon: up x
/// down; LoHa: the product of two of these, value by value; LoKr: the Kronecker product of two
/// matrices; each scaled by alpha / rank and `strength`. DoRA takes the sum's rows to the trained
/// norms: PEFT's magnitudes act on weight + strength * difference, LyCORIS' on weight + difference,
/// of which then `strength` parts are taken. Of a weight that replaces the model's, `strength`
/// parts of the way to it.
Tensor weight_delta(const LoraFile& file, const LoraModule& module, const Tensor& weight,
                    double strength, const Rows& rows = {});

/// What is added to the bias, fp32.
Tensor bias_delta(const LoraFile& file, const LoraModule& module, double strength,
                  const Rows& rows_of_bias = {});

}  // namespace sdrbee::lora
