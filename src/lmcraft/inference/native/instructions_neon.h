// ARM's NEON (64-bit ARM), with dotprod and i8mm where the processor has them. The functions are described in instructions.h.
#pragma once

#include <arm_neon.h>

namespace {

constexpr int LANES = 4;
constexpr int INT8_STEPS_UNROLLED = 16, INT4_STEPS_UNROLLED = 4;
constexpr int SUM_REGISTERS = 16;  // of 32
constexpr int PANEL_REGISTERS = 4;
typedef float FloatRegister __attribute__((vector_size(16)));
typedef int32_t IntRegister __attribute__((vector_size(16)));
typedef uint8x16_t ByteRegister;
typedef float DenseInput;

inline FloatRegister multiply_add(FloatRegister a, FloatRegister b, FloatRegister c) {
  return FloatRegister(vfmaq_f32(float32x4_t(c), float32x4_t(a), float32x4_t(b)));
}
inline FloatRegister load_register(const float* p) { return FloatRegister(vld1q_f32(p)); }
inline FloatRegister load_register(const uint16_t* p) { return FloatRegister(vshll_n_u16(vld1_u16(p), 16)); }
inline FloatRegister load_register(const Half* p) {
  return FloatRegister(vcvt_f32_f16(vld1_f16(reinterpret_cast<const float16_t*>(p))));
}
inline void store_bytes(int8_t* p, IntRegister v) {
  int16x4_t pairs = vmovn_s32(int32x4_t(v));
  int8x8_t bytes = vmovn_s16(vcombine_s16(pairs, pairs));
  std::memcpy(p, &bytes, LANES);
}

inline ByteRegister load_bytes(const uint8_t* p) { return vld1q_u8(p); }
inline ByteRegister repeat_4_bytes(const void* p) {
  uint32_t bytes;
  std::memcpy(&bytes, p, 4);
  return vreinterpretq_u8_u32(vdupq_n_u32(bytes));
}
template <typename V>
inline void keep_in_register(V& v) {
  asm volatile("" : "+w"(v));
}
inline ByteRegister low_half(ByteRegister bytes) { return vandq_u8(bytes, vdupq_n_u8(15)); }
inline ByteRegister high_half(ByteRegister bytes) { return vshrq_n_u8(bytes, 4); }

#if defined(__ARM_FEATURE_MATMUL_INT8)
typedef ByteRegister Int8Weights;
constexpr int INT8_OFFSET = 128;
inline Int8Weights prepare_int8(ByteRegister bytes) { return bytes; }
inline IntRegister add_int8_products(IntRegister sums, Int8Weights weights, ByteRegister activations) {
  return IntRegister(vusdotq_s32(int32x4_t(sums), weights, vreinterpretq_s8_u8(activations)));
}
#else
typedef int8x16_t Int8Weights;
constexpr int INT8_OFFSET = 0;
inline Int8Weights prepare_int8(ByteRegister bytes) { return vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128))); }
inline IntRegister add_int8_products(IntRegister sums, Int8Weights weights, ByteRegister activations) {
  int8x16_t x = vreinterpretq_s8_u8(activations);
#if defined(__ARM_FEATURE_DOTPROD)
  return IntRegister(vdotq_s32(int32x4_t(sums), weights, x));
#else
  int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(x)), high = vmull_high_s8(weights, x);
  return IntRegister(vpadalq_s16(int32x4_t(sums), vpaddq_s16(low, high)));  // 127 * 127 * 2 fits into 16 bits
#endif
}
#endif

typedef int8_t PanelInt8;
inline IntRegister add_panel_products(IntRegister sums, ByteRegister weights, ByteRegister activations) {
  return add_int8_products(sums, prepare_int8(weights), activations);
}

#if defined(__ARM_FEATURE_DOTPROD)
typedef IntRegister Int4Sums;
inline Int4Sums add_int4_products(Int4Sums sums, ByteRegister weights, ByteRegister activations) {
  return IntRegister(vdotq_s32(int32x4_t(sums), vreinterpretq_s8_u8(weights), vreinterpretq_s8_u8(activations)));
}
inline IntRegister widen(Int4Sums sums) { return sums; }
#else
typedef int16x8_t Int4Sums;  // of 16 products each: 15 * 127 * 16 fits into 16 bits
inline Int4Sums add_int4_products(Int4Sums sums, ByteRegister weights, ByteRegister activations) {
  int8x16_t w = vreinterpretq_s8_u8(weights), x = vreinterpretq_s8_u8(activations);
  return vaddq_s16(sums, vpaddq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)), vmull_high_s8(w, x)));
}
inline IntRegister widen(Int4Sums sums) { return IntRegister(vpaddlq_s16(sums)); }
#endif

}  // namespace
