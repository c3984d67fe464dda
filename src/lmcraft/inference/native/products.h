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

// Adds the products of 32 pairs of numbers to 16 sums.
template <typename W>
inline Floats add_products(const W* a, const float* b, const Floats& s) {
  return fma(load(a + FLOATS_PER_VECTOR), load(b + FLOATS_PER_VECTOR), fma(load(a), load(b), s));
}
#if defined(__AVX512BF16__)
inline Floats add_products(const uint16_t* a, const uint16_t* b, const Floats& s) { return add_bf16_products(s, a, b); }
#endif

// W rows of weights, float32 or bfloat16, with R rows of activations, `stride` apart: out[weight row + ROWS_PER_TILE * r].
// One row of weights after another: reading several streams in parallel costs more than the arithmetic that it saves.
template <int R, int W, typename N, typename X>
inline void multiply_dense(const N* w, const X* x, int stride, int columns, float* out) {
  Floats v[FLOATS_PER_VECTOR]{};
  int whole_columns = columns / (2 * FLOATS_PER_VECTOR) * 2 * FLOATS_PER_VECTOR, remainder = columns - whole_columns;
  for (int j = 0; j < W; j++, w += columns) {
    Floats s[R]{};
    for (int i = 0; i < whole_columns; i += 2 * FLOATS_PER_VECTOR) {
#pragma GCC unroll 8  // here and below, so that the sums stay in registers
      for (int r = 0; r < R; r++) s[r] = add_products(w + i, x + r * stride + i, s[r]);
    }
    if (remainder) {
      N a[2 * FLOATS_PER_VECTOR]{};
      std::copy_n(w + whole_columns, remainder, a);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) {
        X b[2 * FLOATS_PER_VECTOR]{};
        std::copy_n(x + r * stride + whole_columns, remainder, b);
        s[r] = add_products(a, b, s[r]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) v[r * W + j] = s[r];
  }
  float y[FLOATS_PER_VECTOR];
  store(y, sum_each(v));
  for (int r = 0; r < R; r++) std::copy_n(y + r * W, W, out + ROWS_PER_TILE * r);
}

}  // namespace
