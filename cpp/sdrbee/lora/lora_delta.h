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

/// Throws CheckpointError, naming file, key and both shapes, unless the module's tensors make a
/// difference of a weight of this shape.
void check_shapes(const LoraFile& file, const LoraModule& module, at::IntArrayRef weight);

/// The same for the change of a bias.
void check_bias_shape(const LoraFile& file, const LoraModule& module, at::IntArrayRef bias);

/// The two factors, scaled by alpha / rank and `strength`, fp32, where the module has just them;
/// nothing for other kinds.
std::optional<LowRank> low_rank(const LoraFile& file, const LoraModule& module, double strength);

/// What is added to `weight` (the model's own, fp32), of its shape, fp32. LoRA and LoCon: up x
/// down; LoHa: the product of two of these, value by value; LoKr: the Kronecker product of two
/// matrices; each scaled by alpha / rank and `strength`. DoRA takes the sum's rows to the trained
/// norms: PEFT's magnitudes act on weight + strength * difference, LyCORIS' on weight + difference,
/// of which then `strength` parts are taken.
Tensor weight_delta(const LoraFile& file, const LoraModule& module, const Tensor& weight,
                    double strength);

/// What is added to the bias, fp32.
Tensor bias_delta(const LoraFile& file, const LoraModule& module, double strength);

}  // namespace sdrbee::lora
