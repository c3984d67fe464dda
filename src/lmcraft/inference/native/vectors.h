// Vectors of 16 numbers: the compiler's own, which it maps to what the CPU has.
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

inline Floats all(float x) { return x - Floats{}; }
inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void save(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }

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
  for (int i = 0; i < LANES; i++) wide[i] = int32_t(uint32_t(p[i]) << 16);
  return Floats(wide);
#endif
}

inline Floats load(const _Float16* p) {
#if defined(__AVX512F__)
  return Floats(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#else
  Floats wide;
  for (int i = 0; i < LANES; i++) wide[i] = float(p[i]);
  return wide;
#endif
}

inline float from_bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

// Up to 16 numbers, zeros after them.
template <typename T>
inline Floats some(const T* p, int n) {
  if (n >= LANES) return load(p);
  T numbers[LANES]{};
  if (n > 0) std::copy_n(p, n, numbers);
  return load(numbers);
}

// The number S places further on, around the end.
template <int S, typename V, size_t... I>
inline V turned(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I + S) % LANES...);
}

template <typename V, typename F>
inline auto fold(V v, F both) {
  constexpr auto numbers = std::make_index_sequence<LANES>();
  v = both(v, turned<8>(v, numbers));
  v = both(v, turned<4>(v, numbers));
  v = both(v, turned<2>(v, numbers));
  return both(v, turned<1>(v, numbers))[0];
}

template <typename V>
inline auto sum(V v) {
  return fold(v, [](V a, V b) { return a + b; });
}

// The sum of each of 16 vectors.
template <int S, size_t... I>
inline Floats halve(Floats a, Floats b, std::index_sequence<I...>) {
  Floats first = __builtin_shufflevector(a, b, (I & S ? LANES + (I - S) : I)...);
  return first + __builtin_shufflevector(a, b, (I & S ? LANES + I : I + S)...);
}
template <int S = LANES / 2>
inline Floats sums(Floats* v) {
  for (int i = 0; i < S; i++) v[i] = halve<S>(v[i], v[i + S], std::make_index_sequence<LANES>());
  if constexpr (S > 1) {
    return sums<S / 2>(v);
  } else {
    return v[0];
  }
}

inline void copy(const float* from, int n, float* to) {
  if (n == LANES) return save(to, load(from));
  std::copy(from, from + n, to);
}
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline float largest(Floats v) { return fold(v, larger); }
inline Floats magnitude(Floats v) { return Floats(Ints(v) & 0x7fffffff); }

const Floats MAGIC = all(12582912.0f);  // adding it rounds to a whole number

// e to the power of x, to 2 units in the last place: 2 to a whole power, and a polynomial for what is left (Cephes' expf).
inline Floats exponential(Floats x) {
  x = larger(x, all(-87.3f));
  x = x > all(88.3f) ? all(88.3f) : x;
  Floats whole = fma(x, all(1.44269504f), MAGIC) - MAGIC;
  Floats left = fma(whole, all(2.12194440e-4f), fma(whole, all(-0.693359375f), x));
  Floats p = all(1.9875691500e-4f);
  p = fma(p, left, all(1.3981999507e-3f));
  p = fma(p, left, all(8.3334519073e-3f));
  p = fma(p, left, all(4.1665795894e-2f));
  p = fma(p, left, all(1.6666665459e-1f));
  p = fma(p, left, all(5.0000001201e-1f));
  p = fma(p, left * left, left + all(1.0f));
  return Floats(Ints(p) + (__builtin_convertvector(whole, Ints) << 23));
}

}  // namespace
