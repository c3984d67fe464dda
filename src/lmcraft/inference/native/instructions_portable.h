// Any processor, in the compiler's vector types. The functions are described in instructions.h.
#pragma once

namespace {

constexpr int LANES = 4;
constexpr int INT8_STEPS_UNROLLED = 16, INT4_STEPS_UNROLLED = 4;
constexpr int SUM_REGISTERS = 8;
constexpr int PANEL_REGISTERS = 4;
typedef float FloatRegister __attribute__((vector_size(16)));
typedef int32_t IntRegister __attribute__((vector_size(16)));
typedef uint8_t ByteRegister __attribute__((vector_size(16)));
typedef ByteRegister Int8Weights;
typedef IntRegister Int4Sums;
typedef float DenseInput;
constexpr int INT8_OFFSET = 128;

inline FloatRegister multiply_add(FloatRegister a, FloatRegister b, FloatRegister c) {
#if defined(__FP_FAST_FMAF)
  for (int i = 0; i < LANES; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
#else
  return a * b + c;
#endif
}
inline FloatRegister load_register(const float* p) {
  FloatRegister v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline FloatRegister load_register(const uint16_t* p) {
  IntRegister wide;
  for (int i = 0; i < LANES; i++) wide[i] = int32_t(uint32_t(p[i]) << 16);
  return FloatRegister(wide);
}
inline FloatRegister load_register(const Half* p) {
  FloatRegister wide;
  for (int i = 0; i < LANES; i++) wide[i] = float(p[i]);
  return wide;
}
inline void store_bytes(int8_t* p, IntRegister v) {
  for (int i = 0; i < LANES; i++) p[i] = int8_t(v[i]);
}

inline ByteRegister load_bytes(const uint8_t* p) {
  ByteRegister bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  return bytes;
}
inline ByteRegister repeat_4_bytes(const void* p) {
  ByteRegister bytes;
  for (int i = 0; i < LANES; i++) std::memcpy(reinterpret_cast<char*>(&bytes) + 4 * i, p, 4);
  return bytes;
}
template <typename V>
inline void keep_in_register(V&) {}
inline ByteRegister low_half(ByteRegister bytes) { return bytes & 15; }
inline ByteRegister high_half(ByteRegister bytes) { return bytes >> 4; }
inline Int8Weights prepare_int8(ByteRegister bytes) { return bytes; }
inline IntRegister add_int8_products(IntRegister sums, Int8Weights weights, ByteRegister activations) {
  for (int i = 0; i < 4 * LANES; i++) sums[i / 4] += int32_t(weights[i]) * int8_t(activations[i]);
  return sums;
}
typedef int8_t PanelInt8;
inline IntRegister add_panel_products(IntRegister sums, ByteRegister weights, ByteRegister activations) {
  return add_int8_products(sums, weights, activations);
}
inline Int4Sums add_int4_products(Int4Sums sums, ByteRegister weights, ByteRegister activations) {
  return add_int8_products(sums, weights, activations);
}
inline IntRegister widen(Int4Sums sums) { return sums; }

}  // namespace
