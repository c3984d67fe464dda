// Vectors of 16 numbers, in the compiler's vector types, which it maps to the CPU's registers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "model_layout.h"

namespace {

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef int8_t Bytes __attribute__((vector_size(16)));

inline Floats broadcast(float x) { return x - Floats{}; }
inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }

inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return Floats(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#else
  return a * b + c;
#endif
}

// bfloat16 is the upper half of a float32.
inline Floats load(const uint16_t* p) {
#if defined(__AVX512F__)
  return Floats(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
#else
  Ints wide;
  for (int i = 0; i < FLOATS_PER_VECTOR; i++) wide[i] = int32_t(uint32_t(p[i]) << 16);
  return Floats(wide);
#endif
}

inline Floats load(const _Float16* p) {
#if defined(__AVX512F__)
  return Floats(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#else
  Floats wide;
  for (int i = 0; i < FLOATS_PER_VECTOR; i++) wide[i] = float(p[i]);
  return wide;
#endif
}

inline float from_bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

// The first n of 16 numbers, zeros after them.
template <typename T>
inline Floats load_partial(const T* p, int n) {
  if (n >= FLOATS_PER_VECTOR) return load(p);
  T numbers[FLOATS_PER_VECTOR]{};
  if (n > 0) std::copy_n(p, n, numbers);
  return load(numbers);
}

// Each number moved S lanes down, cyclically.
template <int S, typename V, size_t... I>
inline V rotate_lanes(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I + S) % FLOATS_PER_VECTOR...);
}

template <typename V, typename F>
inline auto reduce(V v, F combine) {
  constexpr auto lanes = std::make_index_sequence<FLOATS_PER_VECTOR>();
  v = combine(v, rotate_lanes<8>(v, lanes));
  v = combine(v, rotate_lanes<4>(v, lanes));
  v = combine(v, rotate_lanes<2>(v, lanes));
  return combine(v, rotate_lanes<1>(v, lanes))[0];
}

template <typename V>
inline auto sum(V v) {
  return reduce(v, [](V a, V b) { return a + b; });
}

// The sums of 16 vectors, as one vector.
template <int S, size_t... I>
inline Floats add_halves(Floats a, Floats b, std::index_sequence<I...>) {
  Floats first = __builtin_shufflevector(a, b, (I & S ? FLOATS_PER_VECTOR + (I - S) : I)...);
  return first + __builtin_shufflevector(a, b, (I & S ? FLOATS_PER_VECTOR + I : I + S)...);
}
template <int S = FLOATS_PER_VECTOR / 2>
inline Floats sum_each(Floats* v) {
  for (int i = 0; i < S; i++) v[i] = add_halves<S>(v[i], v[i + S], std::make_index_sequence<FLOATS_PER_VECTOR>());
  if constexpr (S > 1) {
    return sum_each<S / 2>(v);
  } else {
    return v[0];
  }
}

inline void store_partial(const float* from, int n, float* to) {
  if (n == FLOATS_PER_VECTOR) return store(to, load(from));
  std::copy(from, from + n, to);
}
inline Floats maximum(Floats a, Floats b) { return a > b ? a : b; }
inline float reduce_max(Floats v) { return reduce(v, maximum); }
inline Floats absolute(Floats v) { return Floats(Ints(v) & 0x7fffffff); }

const Floats ROUNDING_MAGIC = broadcast(12582912.0f);  // 1.5 * 2^23: adding and subtracting it rounds to an integer

// exp(x), to 2 units in the last place: a power of 2 times a polynomial of the remainder (Cephes' expf). NaN stays NaN.
inline Floats exponential(Floats x) {
  x = x < broadcast(-87.3f) ? broadcast(-87.3f) : x;
  x = x > broadcast(88.3f) ? broadcast(88.3f) : x;
  Floats exponent = fma(x, broadcast(1.44269504f), ROUNDING_MAGIC) - ROUNDING_MAGIC;
  Floats remainder = fma(exponent, broadcast(2.12194440e-4f), fma(exponent, broadcast(-0.693359375f), x));
  Floats p = broadcast(1.9875691500e-4f);
  p = fma(p, remainder, broadcast(1.3981999507e-3f));
  p = fma(p, remainder, broadcast(8.3334519073e-3f));
  p = fma(p, remainder, broadcast(4.1665795894e-2f));
  p = fma(p, remainder, broadcast(1.6666665459e-1f));
  p = fma(p, remainder, broadcast(5.0000001201e-1f));
  p = fma(p, remainder * remainder, remainder + broadcast(1.0f));
  return Floats(Ints(p) + (__builtin_convertvector(exponent, Ints) << 23));
}

}  // namespace
