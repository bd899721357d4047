// Devices by name.
#pragma once

#include <c10/core/Device.h>

#include <string_view>

#include "sdrbee/core/tensor.h"

namespace sdrbee {

using Device = c10::Device;

/// The device of a name: "cpu", "cuda", "cuda:1", "mps", or "auto" (the first CUDA device, else
/// MPS, else the CPU). The first use of a CUDA device loads libtorch_cuda.
/// Throws InvalidRequest when the name is unknown or the machine has no such device.
Device parse_device(std::string_view name);

/// The dtype a model runs in when nothing else is asked for: bf16 on CPUs with AVX512-BF16 or AMX
/// and on CUDA from compute capability 8.0, fp16 on other CUDA devices and MPS, else fp32.
Dtype default_dtype(Device device);

}  // namespace sdrbee
