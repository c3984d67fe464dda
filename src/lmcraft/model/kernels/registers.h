// Vectors of float32 numbers, in registers of the instruction set that is compiled for.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif
typedef float Register __attribute__((vector_size(4 * LANES)));
typedef int32_t IntRegister __attribute__((vector_size(4 * LANES)));

inline Register repeat(float x) { return x - Register{}; }
inline Register load(const float* from) {
  Register x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
inline void store(float* to, Register x) { std::memcpy(to, &x, sizeof x); }
inline float sum(Register x) {
  float total = 0;
  for (int lane = 0; lane < LANES; lane++) total += x[lane];
  return total;
}

// e^x, with a relative error of 2e-7; x is limited to -87 to 88.
inline Register exponential(Register x) {
  x = x < -87.0f ? repeat(-87.0f) : x > 88.0f ? repeat(88.0f) : x;
  const Register shift = repeat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  Register shifted = x * 1.44269504f + shift, n = shifted - shift;
  Register r = x - n * 0.693359375f + n * 2.12194440e-4f, power = repeat(1.9875691500e-4f);  // Cephes, expf.c
  for (float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    power = power * r + coefficient;
  IntRegister exponent = (IntRegister(shifted) - IntRegister(shift) + 127) << 23;
  return (power * r * r + r + 1.0f) * Register(exponent);
}

// Calls compute(part, first, last) for parts of `count` rows until none is left; several threads do so at the same time. The
// parts do not depend on the number of threads, so neither do sums over a part.
constexpr int PARTS = 32;
template <typename Compute>
inline void compute_parts(std::atomic<int32_t>& next_part, int64_t count, Compute compute) {
  for (int64_t part; (part = next_part.fetch_add(1)) < PARTS;) compute(part, count * part / PARTS, count * (part + 1) / PARTS);
}

}  // namespace
