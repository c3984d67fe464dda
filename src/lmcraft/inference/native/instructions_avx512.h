// AVX-512 (x86-64-v4), with VNNI and BF16 where the processor has them. The functions are described in instructions.h.
#pragma once

#include <immintrin.h>

namespace {

constexpr int LANES = 16;
constexpr int INT8_STEPS_UNROLLED = 16, INT4_STEPS_UNROLLED = 4;
constexpr int SUM_REGISTERS = 8;
constexpr int PANEL_REGISTERS = 2;
typedef float FloatRegister __attribute__((vector_size(64)));
typedef int32_t IntRegister __attribute__((vector_size(64)));
typedef __m512i ByteRegister;

inline FloatRegister multiply_add(FloatRegister a, FloatRegister b, FloatRegister c) {
  return FloatRegister(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
}
inline FloatRegister load_register(const float* p) { return FloatRegister(_mm512_loadu_ps(p)); }
inline FloatRegister load_register(const uint16_t* p) {
  __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return FloatRegister(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
inline FloatRegister load_register(const Half* p) {
  return FloatRegister(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}
inline void store_bytes(int8_t* p, IntRegister v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(__m512i(v)));
}

inline ByteRegister load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline ByteRegister repeat_4_bytes(const void* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm512_set1_epi32(bytes);
}
template <typename V>
inline void keep_in_register(V& v) {
  asm volatile("" : "+v"(v));
}
inline ByteRegister low_half(ByteRegister bytes) { return _mm512_and_si512(bytes, _mm512_set1_epi8(15)); }
inline ByteRegister high_half(ByteRegister bytes) { return low_half(_mm512_srli_epi16(bytes, 4)); }

typedef IntRegister Int4Sums;
inline IntRegister widen(Int4Sums sums) { return sums; }

#if defined(__AVX512VNNI__)
typedef ByteRegister Int8Weights;
constexpr int INT8_OFFSET = 128;
inline Int8Weights prepare_int8(ByteRegister bytes) { return bytes; }
inline IntRegister add_int8_products(IntRegister sums, Int8Weights weights, ByteRegister activations) {
  return IntRegister(_mm512_dpbusd_epi32(__m512i(sums), weights, activations));
}
typedef int8_t PanelInt8;
inline IntRegister add_panel_products(IntRegister sums, ByteRegister weights, ByteRegister activations) {
  return add_int8_products(sums, weights, activations);
}
inline Int4Sums add_int4_products(Int4Sums sums, ByteRegister weights, ByteRegister activations) {
  return add_int8_products(sums, weights, activations);
}
#else
struct Int8Weights {
  __m512i magnitudes;
  __mmask64 negative;
};
constexpr int INT8_OFFSET = 0;
inline IntRegister add_pairs(IntRegister sums, __m512i pairs) {
  return IntRegister(_mm512_add_epi32(__m512i(sums), _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))));
}
inline Int8Weights prepare_int8(ByteRegister bytes) {
  __m512i weights = _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
  return {_mm512_abs_epi8(weights), _mm512_movepi8_mask(weights)};
}
inline IntRegister add_int8_products(IntRegister sums, Int8Weights weights, ByteRegister activations) {
  __m512i moved = _mm512_mask_sub_epi8(activations, weights.negative, _mm512_setzero_si512(), activations);
  return add_pairs(sums, _mm512_maddubs_epi16(weights.magnitudes, moved));  // 127 * 127 * 2 does not saturate 16 bits
}
typedef int16_t PanelInt8;  // two products of 16 bits cost less than four of bytes, with their signs
inline IntRegister add_panel_products(IntRegister sums, ByteRegister weights, ByteRegister activations) {
  return sums + IntRegister(_mm512_madd_epi16(weights, activations));
}
inline Int4Sums add_int4_products(Int4Sums sums, ByteRegister weights, ByteRegister activations) {
  return add_pairs(sums, _mm512_maddubs_epi16(weights, activations));
}
#endif

#if defined(__AVX512BF16__)
typedef uint16_t DenseInput;
inline FloatRegister add_bf16_products(FloatRegister sums, ByteRegister a, ByteRegister b) {
  return FloatRegister(_mm512_dpbf16_ps(__m512(sums), __m512bh(a), __m512bh(b)));
}
inline FloatRegister add_bf16_products(FloatRegister sums, const uint16_t* a, const uint16_t* b) {
  return FloatRegister(_mm512_dpbf16_ps(__m512(sums), __m512bh(_mm512_loadu_si512(a)), __m512bh(_mm512_loadu_si512(b))));
}
#else
typedef float DenseInput;
#endif

}  // namespace
