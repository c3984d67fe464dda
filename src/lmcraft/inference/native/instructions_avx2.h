// AVX2 with FMA and F16C (x86-64-v3), and AVX-VNNI where the processor has it. The functions are described in instructions.h.
#pragma once

#include <immintrin.h>

namespace {

constexpr int LANES = 8;
constexpr int INT8_STEPS_UNROLLED = 4, INT4_STEPS_UNROLLED = 1;
constexpr int SUM_REGISTERS = 8;
constexpr int PANEL_REGISTERS = 2;
typedef float FloatRegister __attribute__((vector_size(32)));
typedef int32_t IntRegister __attribute__((vector_size(32)));
typedef __m256i ByteRegister;
typedef float DenseInput;

inline FloatRegister multiply_add(FloatRegister a, FloatRegister b, FloatRegister c) {
  return FloatRegister(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
}
inline FloatRegister load_register(const float* p) { return FloatRegister(_mm256_loadu_ps(p)); }
inline FloatRegister load_register(const uint16_t* p) {
  __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return FloatRegister(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline FloatRegister load_register(const Half* p) {
  return FloatRegister(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline void store_bytes(int8_t* p, IntRegister v) {
  __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128(__m256i(v)), _mm256_extracti128_si256(__m256i(v), 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(pairs, pairs));
}

inline ByteRegister load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline ByteRegister repeat_4_bytes(const void* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm256_set1_epi32(bytes);
}
template <typename V>
inline void keep_in_register(V& v) {
  asm volatile("" : "+x"(v));
}
inline ByteRegister low_half(ByteRegister bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi8(15)); }
inline ByteRegister high_half(ByteRegister bytes) { return low_half(_mm256_srli_epi16(bytes, 4)); }

#if defined(__AVXVNNI__)
typedef ByteRegister Int8Weights;
typedef IntRegister Int4Sums;
constexpr int INT8_OFFSET = 128;
inline Int8Weights prepare_int8(ByteRegister bytes) { return bytes; }
inline IntRegister add_int8_products(IntRegister sums, Int8Weights weights, ByteRegister activations) {
  return IntRegister(_mm256_dpbusd_avx_epi32(__m256i(sums), weights, activations));
}
typedef int8_t PanelInt8;
inline IntRegister add_panel_products(IntRegister sums, ByteRegister weights, ByteRegister activations) {
  return add_int8_products(sums, weights, activations);
}
inline Int4Sums add_int4_products(Int4Sums sums, ByteRegister weights, ByteRegister activations) {
  return add_int8_products(sums, weights, activations);
}
inline IntRegister widen(Int4Sums sums) { return sums; }
#else
struct Int8Weights {
  __m256i signed_bytes, magnitudes;
};
typedef int16_t Int4Sums __attribute__((vector_size(32)));  // 15 * 127 * 2 * 8 does not saturate 16 bits
constexpr int INT8_OFFSET = 0;
inline IntRegister widen(Int4Sums sums) { return IntRegister(_mm256_madd_epi16(__m256i(sums), _mm256_set1_epi16(1))); }
inline Int8Weights prepare_int8(ByteRegister bytes) {
  __m256i weights = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
  return {weights, _mm256_abs_epi8(weights)};
}
inline IntRegister add_int8_products(IntRegister sums, Int8Weights weights, ByteRegister activations) {
  __m256i moved_signs = _mm256_sign_epi8(activations, weights.signed_bytes);  // 127 * 127 * 2 does not saturate 16 bits
  return sums + widen(Int4Sums(_mm256_maddubs_epi16(weights.magnitudes, moved_signs)));
}
typedef int16_t PanelInt8;  // two products of 16 bits cost less than four of bytes, with their signs
inline IntRegister add_panel_products(IntRegister sums, ByteRegister weights, ByteRegister activations) {
  return sums + IntRegister(_mm256_madd_epi16(weights, activations));
}
inline Int4Sums add_int4_products(Int4Sums sums, ByteRegister weights, ByteRegister activations) {
  return sums + Int4Sums(_mm256_maddubs_epi16(weights, activations));
}
#endif

}  // namespace
