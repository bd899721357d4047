#include "sdrbee/core/cpu_level.h"

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sdrbee {
namespace {

#if defined(__x86_64__)
/// Linux grants the 8 KB tile state on request only; the grant holds for all later threads too.
/// https://docs.kernel.org/arch/x86/xstate.html
bool tiles_granted() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILE_DATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

CpuLevel find_level() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return CpuLevel::Baseline;
  }
  if (!__builtin_cpu_supports("avx512bf16")) return CpuLevel::Avx512;
  const bool has_tiles =
      __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && tiles_granted();
  return has_tiles ? CpuLevel::AmxBf16 : CpuLevel::Avx512Bf16;
#else
  return CpuLevel::Baseline;
#endif
}

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel level = find_level();
  return level;
}

std::string_view cpu_level_name(CpuLevel level) {
  switch (level) {
    case CpuLevel::Avx512:
      return "avx512";
    case CpuLevel::Avx512Bf16:
      return "avx512_bf16";
    case CpuLevel::AmxBf16:
      return "amx_bf16";
    case CpuLevel::Baseline:
      break;
  }
  return "baseline";
}

}  // namespace sdrbee
