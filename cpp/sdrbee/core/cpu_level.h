// Which vector instructions this processor offers: own kernels are chosen by it at run time.
#pragma once

#include <string_view>

namespace sdrbee {

/// What the own kernels can use; each level includes the ones before it.
enum class CpuLevel {
  Baseline,    ///< nothing beyond what the compiler was told: ATen's operators are used
  Avx512,      ///< AVX-512 F, BW, DQ and VL: fp32 kernels
  Avx512Bf16,  ///< with bf16 dot products
  AmxBf16,     ///< with bf16 tiles that the operating system lets this process use
};

/// The level of this machine; found once, the first call asks Linux for the tile registers.
CpuLevel cpu_level();

/// "baseline", "avx512", "avx512_bf16" or "amx_bf16".
std::string_view cpu_level_name(CpuLevel level);

}  // namespace sdrbee
