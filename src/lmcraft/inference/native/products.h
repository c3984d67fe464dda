// Products of weights with a few rows of activations, which take most of a step's time.
#pragma once

#include "vectors.h"

namespace {

constexpr int REGISTERS_PER_TILE = ROWS_PER_TILE / LANES;
constexpr int BYTES_PER_4_COLUMNS = 4 * ROWS_PER_TILE;  // of a tile of int8 weights

struct QuantizedRow {  // a row of activations: value = data * scale of its 64 columns
  int8_t* data;
  int32_t* offset;  // int8: -INT8_OFFSET times the sum of each 64 numbers; int4: -8 times the sum of each 32
  float* scale;
};

inline void quantize_row(const float* x, int n, int padded_columns, int32_t type, const QuantizedRow& out) {
  for (int g = 0; g < padded_columns / COLUMNS_PER_SPAN; g++) {
    Floats v[4];
    Ints rounded[4];
    for (int i = 0; i < 4; i++) {
      int start = g * COLUMNS_PER_SPAN + i * FLOATS_PER_VECTOR;
      v[i] = load_partial(x + start, n - start);
    }
    Floats tops = maximum(maximum(absolute(v[0]), absolute(v[1])), maximum(absolute(v[2]), absolute(v[3])));
    float top = reduce_max(tops), inverse = top > 0 ? 127 / top : 0;
    out.scale[g] = top / 127;
    for (int i = 0; i < 4; i++) {
      rounded[i] = to_ints(round(v[i], inverse));
      store_bytes(out.data + g * COLUMNS_PER_SPAN + i * FLOATS_PER_VECTOR, rounded[i]);
    }
    if (type == INT8) {
      out.offset[g] = INT8_OFFSET ? -INT8_OFFSET * sum(rounded[0] + rounded[1] + rounded[2] + rounded[3]) : 0;
    } else {
      out.offset[2 * g] = -8 * sum(rounded[0] + rounded[1]);
      out.offset[2 * g + 1] = -8 * sum(rounded[2] + rounded[3]);
    }
  }
}

// Registers of a tile whose sums with R rows of activations are computed together.
template <int R>
constexpr int registers_together() {
  int count = REGISTERS_PER_TILE;
  while (count > 1 && count * R > SUM_REGISTERS) count /= 2;
  return count;
}

// 32 rows of int8 weights with R rows of activations. Each 128 bytes hold four columns of 32 rows, each weight + 128.
template <int R>
inline void multiply_int8(const uint8_t* w, const QuantizedRow* x, int columns, FloatRegister (*out)[REGISTERS_PER_TILE]) {
  constexpr int together = registers_together<R>();
  for (int g = 0; g < columns / COLUMNS_PER_SPAN; g++, w += ROWS_PER_TILE * COLUMNS_PER_SPAN) {
    for (int first = 0; first < REGISTERS_PER_TILE; first += together) {
      IntRegister sums[R][together];
      for (int r = 0; r < R; r++)
        for (int i = 0; i < together; i++) sums[r][i] = (INT8_OFFSET ? x[r].offset[g] : 0) - IntRegister{};
#pragma GCC unroll INT8_STEPS_UNROLLED
      for (int column = 0; column < COLUMNS_PER_SPAN; column += 4) {
        Int8Weights weights[together];
        for (int i = 0; i < together; i++)
          weights[i] = prepare_int8(load_bytes(w + ROWS_PER_TILE * column + 4 * LANES * (first + i)));
        for (int r = 0; r < R; r++) {
          ByteRegister activations = repeat_4_bytes(x[r].data + g * COLUMNS_PER_SPAN + column);
          for (int i = 0; i < together; i++) {
            sums[r][i] = add_int8_products(sums[r][i], weights[i], activations);
            keep_in_register(sums[r][i]);
          }
        }
      }
      for (int r = 0; r < R; r++)
        for (int i = 0; i < together; i++)
          out[r][first + i] = multiply_add(to_floats(sums[r][i]), x[r].scale[g] - FloatRegister{}, out[r][first + i]);
    }
  }
}

// The sum of the activations of an int4 group.
inline float sum_of_group(const int32_t* offset, const float* scale, int g) {
  return scale[g * COLUMNS_PER_GROUP / COLUMNS_PER_SPAN] * float(offset[g] / -8);
}

// The same for int4 weights: 512 bytes hold 32 columns of 32 rows. The low 4 bits of each 128 bytes are four of the first
// 16 columns, the high 4 bits four of the last 16, each weight + 8. `shift` may be null.
template <int R>
inline void multiply_int4(const uint8_t* w, const Half* scale, const Half* shift, const QuantizedRow* x, int columns,
                          FloatRegister (*out)[REGISTERS_PER_TILE]) {
  constexpr int together = registers_together<R>();
  for (int g = 0; g < columns / COLUMNS_PER_GROUP; g++, w += ROWS_PER_TILE * COLUMNS_PER_GROUP / 2, scale += ROWS_PER_TILE) {
    for (int first = 0; first < REGISTERS_PER_TILE; first += together) {
      Int4Sums sums[R][together]{};
#pragma GCC unroll INT4_STEPS_UNROLLED
      for (int column = 0; column < COLUMNS_PER_GROUP / 2; column += 4) {
        ByteRegister low[together], high[together];
        for (int i = 0; i < together; i++) {
          ByteRegister both = load_bytes(w + ROWS_PER_TILE * column + 4 * LANES * (first + i));
          low[i] = low_half(both);
          high[i] = high_half(both);
        }
        for (int r = 0; r < R; r++) {
          const int8_t* data = x[r].data + g * COLUMNS_PER_GROUP + column;
          ByteRegister first_half = repeat_4_bytes(data), last_half = repeat_4_bytes(data + COLUMNS_PER_GROUP / 2);
          for (int i = 0; i < together; i++) {
            sums[r][i] = add_int4_products(sums[r][i], low[i], first_half);
            sums[r][i] = add_int4_products(sums[r][i], high[i], last_half);
            keep_in_register(sums[r][i]);
          }
        }
      }
      for (int i = 0; i < together; i++) {
        FloatRegister scales = load_register(scale + LANES * (first + i));
        for (int r = 0; r < R; r++) {
          FloatRegister factor = scales * x[r].scale[g * COLUMNS_PER_GROUP / COLUMNS_PER_SPAN];
          IntRegister total = widen(sums[r][i]) + x[r].offset[g];
          out[r][first + i] = multiply_add(to_floats(total), factor, out[r][first + i]);
        }
        if (!shift) continue;
        FloatRegister shifts = load_register(shift + g * ROWS_PER_TILE + LANES * (first + i));
        for (int r = 0; r < R; r++) {
          float total = sum_of_group(x[r].offset, x[r].scale, g);
          out[r][first + i] = multiply_add(shifts, total - FloatRegister{}, out[r][first + i]);
        }
      }
    }
  }
}

// Numbers of weights and activations whose products a register of sums takes in one step.
template <typename X>
constexpr int COLUMNS_PER_STEP = LANES * sizeof(float) / sizeof(X);

constexpr int DENSE_ROWS_TOGETHER = 4;  // of activations; with 3 rows of weights their sums fit into 16 registers
constexpr int ROWS_THAT_WAIT = LANES == 16 ? 3 : 2;  // of activations: so few wait for memory only, whatever the order

// Adds the products of a step of W rows of weights with R rows of activations.
template <typename X, int R, int W, typename N>
LMCRAFT_INLINE inline void add_dense_step(const N* const (&w)[W], const X* const (&x)[R], int i, FloatRegister (&sums)[R][W]) {
  auto load_numbers = [](const auto* p) LMCRAFT_INLINE {
    if constexpr (std::is_same_v<X, float>) return load_register(p);
    else return load_bytes(reinterpret_cast<const uint8_t*>(p));
  };
  decltype(load_numbers(w[0])) weights[W];
  repeat<W>([&](auto j) LMCRAFT_INLINE { weights[j] = load_numbers(w[j] + i); });
  repeat<R>([&](auto r) LMCRAFT_INLINE {
    auto activations = load_numbers(x[r] + i);
    keep_in_register(activations);  // loads cost more than products
    repeat<W>([&](auto j) LMCRAFT_INLINE {
      if constexpr (std::is_same_v<X, float>) sums[r][j] = multiply_add(weights[j], activations, sums[r][j]);
      else sums[r][j] = add_bf16_products(sums[r][j], weights[j], activations);
      keep_in_register(sums[r][j]);
    });
  });
}

// W rows of weights with R rows of activations, `stride` apart: y[activation row][weight row]. Meanwhile the processor fetches
// `bytes_per_step` of the memory at `next` in each step: it does not foresee which rows of weights are read side by side.
template <int R, int W, typename N, typename X>
[[gnu::noinline]] void multiply_dense_rows(const N* w, const X* x, int stride, int columns, const char* next,
                                           int bytes_per_step, float (*y)[ROWS_PER_TILE]) {
  constexpr int step = COLUMNS_PER_STEP<X>, lines = (W * step * sizeof(N) + 63) / 64;
  FloatRegister sums[R][W];
  const N* weights[W];
  const X* activations[R];
  repeat<R>([&](auto r) LMCRAFT_INLINE {
    activations[r] = x + int64_t(r) * stride;
    repeat<W>([&](auto j) LMCRAFT_INLINE { sums[r][j] = FloatRegister{}; });
  });
  repeat<W>([&](auto j) LMCRAFT_INLINE { weights[j] = w + int64_t(j) * columns; });
  int whole_columns = columns / step * step, remainder = columns - whole_columns;
  for (int i = 0; i < whole_columns; i += step, next += bytes_per_step) {
    if (W > 1) repeat<lines>([&](auto line) LMCRAFT_INLINE { __builtin_prefetch(next + 64 * line); });
    add_dense_step<X>(weights, activations, i, sums);
  }
  if (remainder) {
    N last_weights[W][step]{};
    X last_activations[R][step]{};
    repeat<W>([&](auto j) LMCRAFT_INLINE {
      std::copy_n(weights[j] + whole_columns, remainder, last_weights[j]);
      weights[j] = last_weights[j];
    });
    repeat<R>([&](auto r) LMCRAFT_INLINE {
      std::copy_n(activations[r] + whole_columns, remainder, last_activations[r]);
      activations[r] = last_activations[r];
    });
    add_dense_step<X>(weights, activations, 0, sums);
  }
  repeat<R>([&](auto r) LMCRAFT_INLINE {
    repeat<W>([&](auto j) LMCRAFT_INLINE {
      FloatRegister parts = sums[r][j];
      y[r][j] = sum(parts);
    });
  });
}

// `rows` rows of weights, float32 or bfloat16, with `count` rows of activations. W rows of weights are read side by side, and
// multiplied with all rows of activations while they are in the cache.
template <int W = 3, typename N, typename X>
inline void multiply_dense(const N* w, int rows, const X* x, int stride, int count, int columns, float (*y)[ROWS_PER_TILE]) {
  if (W > 1 && count <= ROWS_THAT_WAIT) return multiply_dense<1>(w, rows, x, stride, count, columns, y);
  int blocks = (count + DENSE_ROWS_TOGETHER - 1) / DENSE_ROWS_TOGETHER;
  for (int j = 0; j < rows; j += W) {
    const N* group = w + int64_t(j) * columns;
    const char* next = reinterpret_cast<const char*>(group + W * columns);
    for (int block = 0; block < blocks; block++) {
      int begin = count * block / blocks, end = count * (block + 1) / blocks;
      int bytes_per_step = W * COLUMNS_PER_STEP<X> * sizeof(N) / blocks;
      const char* share = next + int64_t(W * columns * sizeof(N)) * block / blocks;
      dispatch<W == 1 ? ROWS_THAT_WAIT : DENSE_ROWS_TOGETHER>(end - begin, [&](auto R) {
        dispatch<W>(rows - j, [&](auto count) {
          multiply_dense_rows<R.value, count.value>(group, x + int64_t(begin) * stride, stride, columns, share, bytes_per_step,
                                                    reinterpret_cast<float(*)[ROWS_PER_TILE]>(&y[begin][j]));
        });
      });
    }
  }
}

}  // namespace
