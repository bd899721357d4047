#include "sdrbee/core/cast.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "sdrbee/core/cpu_level.h"

#if defined(__x86_64__)
#include <immintrin.h>
// The header of GCC 12 itself is warned about: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace sdrbee {
namespace {

#if defined(__x86_64__)

constexpr int64_t kLanes = 16;
constexpr int64_t kGrain = 1 << 15;  // elements: below it a second thread costs more than it gives

/// Sixteen values; as c10::BFloat16 does it: to nearest, ties to even, every NaN becomes 0x7FC0.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] inline __m256i to_bf16(__m256i halves) {
  const __m512 values = _mm512_cvtph_ps(halves);
  const __m512i bits = _mm512_castps_si512(values);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))), 16);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, is_nan, _mm512_set1_epi32(0x7FC0)));
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] void cast_range(const c10::Half* source,
                                                                      c10::BFloat16* target,
                                                                      int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + i), to_bf16(halves));
  }
  for (; i < count; ++i) target[i] = static_cast<float>(source[i]);
}

Tensor fp16_to_bf16(const Tensor& tensor) {
  const Tensor source = tensor.contiguous();
  Tensor target = at::empty(source.sizes(), source.options().dtype(Dtype::BFloat16));
  const auto* from = source.const_data_ptr<c10::Half>();
  auto* to = target.mutable_data_ptr<c10::BFloat16>();
  at::parallel_for(0, source.numel(), kGrain, [&](int64_t begin, int64_t end) {
    cast_range(from + begin, to + begin, end - begin);
  });
  return target;
}

#endif

}  // namespace

Tensor cast(const Tensor& tensor, Dtype dtype) {
#if defined(__x86_64__)
  if (tensor.device().is_cpu() && tensor.scalar_type() == Dtype::Half && dtype == Dtype::BFloat16 &&
      cpu_level() >= CpuLevel::Avx512)
    return fp16_to_bf16(tensor);
#endif
  return tensor.to(dtype);
}

}  // namespace sdrbee
