// Vectors of 16 numbers: one register, or pairs of narrower ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "instructions.h"
#include "model_layout.h"

namespace {

#define LMCRAFT_INLINE __attribute__((always_inline))  // before arrays of sums are placed in registers or in memory

// Calls f with the constants 0 to N - 1: only arrays with constant indices are kept in registers.
template <int N, typename F>
LMCRAFT_INLINE inline void repeat(F f) {
  [&]<int... I>(std::integer_sequence<int, I...>) LMCRAFT_INLINE { (f(std::integral_constant<int, I>()), ...); }
  (std::make_integer_sequence<int, N>());
}

// Calls f with a constant: `count` or MAX, whichever is less.
template <int MAX, typename F>
inline void dispatch(int count, F f) {
  if constexpr (MAX > 1) {
    if (count < MAX) return dispatch<MAX - 1>(count, f);
  }
  f(std::integral_constant<int, MAX>());
}

template <typename V>
struct Pair {
  V low, high;
};

template <typename Register, int N>
struct VectorOf {
  typedef Pair<typename VectorOf<Register, N / 2>::type> type;
};
template <typename Register>
struct VectorOf<Register, LANES> {
  typedef Register type;
};
typedef VectorOf<FloatRegister, FLOATS_PER_VECTOR>::type Floats;
typedef VectorOf<IntRegister, FLOATS_PER_VECTOR>::type Ints;

#define LMCRAFT_PAIRWISE(op)                                              \
  template <typename V>                                                   \
  inline auto operator op(const Pair<V>& a, const Pair<V>& b) {           \
    return Pair<decltype(a.low op b.low)>{a.low op b.low, a.high op b.high}; \
  }
LMCRAFT_PAIRWISE(+)
LMCRAFT_PAIRWISE(-)
LMCRAFT_PAIRWISE(*)
LMCRAFT_PAIRWISE(/)
LMCRAFT_PAIRWISE(&)
LMCRAFT_PAIRWISE(<)
LMCRAFT_PAIRWISE(>)
LMCRAFT_PAIRWISE(<=)
LMCRAFT_PAIRWISE(>=)
LMCRAFT_PAIRWISE(==)
LMCRAFT_PAIRWISE(<<)
#undef LMCRAFT_PAIRWISE

// Functions of registers, and the same of pairs.
inline FloatRegister select(IntRegister mask, FloatRegister a, FloatRegister b) { return mask ? a : b; }
inline FloatRegister to_floats(IntRegister v) { return __builtin_convertvector(v, FloatRegister); }
inline IntRegister to_ints(FloatRegister v) { return __builtin_convertvector(v, IntRegister); }
inline FloatRegister bits_as_floats(IntRegister v) { return FloatRegister(v); }
inline IntRegister bits_as_ints(FloatRegister v) { return IntRegister(v); }

template <typename M, typename V>
inline Pair<V> select(const Pair<M>& mask, const Pair<V>& a, const Pair<V>& b) {
  return {select(mask.low, a.low, b.low), select(mask.high, a.high, b.high)};
}
template <typename V>
inline Pair<V> multiply_add(const Pair<V>& a, const Pair<V>& b, const Pair<V>& c) {
  return {multiply_add(a.low, b.low, c.low), multiply_add(a.high, b.high, c.high)};
}
template <typename V>
inline auto to_floats(const Pair<V>& v) {
  return Pair<decltype(to_floats(v.low))>{to_floats(v.low), to_floats(v.high)};
}
template <typename V>
inline auto to_ints(const Pair<V>& v) {
  return Pair<decltype(to_ints(v.low))>{to_ints(v.low), to_ints(v.high)};
}
template <typename V>
inline auto bits_as_floats(const Pair<V>& v) {
  return Pair<decltype(bits_as_floats(v.low))>{bits_as_floats(v.low), bits_as_floats(v.high)};
}
template <typename V>
inline auto bits_as_ints(const Pair<V>& v) {
  return Pair<decltype(bits_as_ints(v.low))>{bits_as_ints(v.low), bits_as_ints(v.high)};
}
template <typename V>
inline void store_bytes(int8_t* p, const Pair<V>& v) {
  store_bytes(p, v.low);
  store_bytes(p + sizeof(V) / 4, v.high);
}

template <typename V>
struct IsPair : std::false_type {};
template <typename V>
struct IsPair<Pair<V>> : std::true_type {};

template <typename V, typename N>
inline V load_vector(const N* p) {
  if constexpr (IsPair<V>()) {
    typedef decltype(V::low) Half;
    return {load_vector<Half>(p), load_vector<Half>(p + sizeof(Half) / 4)};
  } else {
    return load_register(p);
  }
}
template <typename N>
inline Floats load(const N* p) {
  return load_vector<Floats>(p);
}
inline void store(float* p, const Floats& v) { std::memcpy(p, &v, sizeof v); }

template <typename V, typename N>
inline V broadcast_as(N x) {
  if constexpr (IsPair<V>()) {
    return {broadcast_as<decltype(V::low)>(x), broadcast_as<decltype(V::low)>(x)};
  } else {
    return x - V{};
  }
}
inline Floats broadcast(float x) { return broadcast_as<Floats>(x); }
inline Ints broadcast(int32_t x) { return broadcast_as<Ints>(x); }
template <typename V>
inline V fma(const V& a, const V& b, const V& c) {
  return multiply_add(a, b, c);
}

inline float from_bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

inline uint16_t to_bf16(float value) {  // to nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The first n of 16 numbers, zeros after them.
template <typename T>
inline Floats load_partial(const T* p, int n) {
  if (n >= FLOATS_PER_VECTOR) return load(p);
  T numbers[FLOATS_PER_VECTOR]{};
  if (n > 0) std::copy_n(p, n, numbers);
  return load(numbers);
}
inline void store_partial(const float* from, int n, float* to) {
  if (n == FLOATS_PER_VECTOR) return store(to, load(from));
  std::copy(from, from + n, to);
}

// Each number moved S lanes down, cyclically.
template <int S, typename V, size_t... I>
inline V rotate_lanes(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I + S) % LANES...);
}

template <int S = LANES / 2, typename V, typename F>
inline auto reduce(const V& v, F combine) {
  if constexpr (IsPair<V>()) {
    return reduce(combine(v.low, v.high), combine);
  } else if constexpr (S > 0) {
    return reduce<S / 2>(combine(v, rotate_lanes<S>(v, std::make_index_sequence<LANES>())), combine);
  } else {
    return v[0];
  }
}

template <typename V>
inline auto sum(const V& v) {
  return reduce(v, [](const auto& a, const auto& b) { return a + b; });
}

// The sums of as many vectors as a vector has numbers, as one vector.
template <int S, size_t... I>
inline FloatRegister add_halves(FloatRegister a, FloatRegister b, std::index_sequence<I...>) {
  FloatRegister first = __builtin_shufflevector(a, b, (I & S ? LANES + (I - S) : I)...);
  return first + __builtin_shufflevector(a, b, (I & S ? LANES + I : I + S)...);
}
template <int S = LANES / 2, typename V>
inline V sum_each(V* v) {
  if constexpr (IsPair<V>()) {
    constexpr int half = sizeof(V) / 8;
    decltype(V::low) folded[2 * half];
    for (int i = 0; i < 2 * half; i++) folded[i] = v[i].low + v[i].high;
    return {sum_each(folded), sum_each(folded + half)};
  } else if constexpr (S > 0) {
    for (int i = 0; i < S; i++) v[i] = add_halves<S>(v[i], v[i + S], std::make_index_sequence<LANES>());
    return sum_each<S / 2>(v);
  } else {
    return v[0];
  }
}

template <typename V>
inline V maximum(const V& a, const V& b) {
  return select(a > b, a, b);
}
inline float reduce_max(const Floats& v) {
  return reduce(v, [](const auto& a, const auto& b) { return maximum(a, b); });
}
inline Floats absolute(const Floats& v) { return bits_as_floats(bits_as_ints(v) & broadcast(0x7fffffff)); }

const Floats ROUNDING_MAGIC = broadcast(12582912.0f);  // 1.5 * 2^23: adding and subtracting it rounds to an integer

inline Floats round(const Floats& v, float scale) { return fma(v, broadcast(scale), ROUNDING_MAGIC) - ROUNDING_MAGIC; }

// exp(x), to 2 units in the last place: a power of 2 times a polynomial of the remainder (Cephes' expf). NaN stays NaN.
inline Floats exponential(Floats x) {
  x = select(x < broadcast(-87.3f), broadcast(-87.3f), x);
  x = select(x > broadcast(88.3f), broadcast(88.3f), x);
  Floats exponent = round(x, 1.44269504f);
  Floats remainder = fma(exponent, broadcast(2.12194440e-4f), fma(exponent, broadcast(-0.693359375f), x));
  Floats p = broadcast(1.9875691500e-4f);
  p = fma(p, remainder, broadcast(1.3981999507e-3f));
  p = fma(p, remainder, broadcast(8.3334519073e-3f));
  p = fma(p, remainder, broadcast(4.1665795894e-2f));
  p = fma(p, remainder, broadcast(1.6666665459e-1f));
  p = fma(p, remainder, broadcast(5.0000001201e-1f));
  p = fma(p, remainder * remainder, remainder + broadcast(1.0f));
  return bits_as_floats(bits_as_ints(p) + (to_ints(exponent) << broadcast(23)));
}

// tanh(x), to 2e-6 of its value: a polynomial where 1 - 2 / (1 + exp(2x)) would cancel.
inline Floats hyperbolic_tangent(Floats x) {
  Floats square = x * x, odd = fma(square, broadcast(0.133333333f), broadcast(-0.333333333f));
  Floats near = fma(x * square, odd, x);
  Floats far = broadcast(1.0f) - broadcast(2.0f) / (broadcast(1.0f) + exponential(x + x));
  return select(absolute(x) < broadcast(0.1f), near, far);
}

inline Floats soft_cap(Floats x, float cap) { return broadcast(cap) * hyperbolic_tangent(x / broadcast(cap)); }

}  // namespace
