// A matrix times all rows, with its bias and the rows' adapters; each thread computes some rows of the matrix.
#pragma once

#include "decoder.h"
#include "lora.h"

namespace {

template <int R>
inline void quantized_products(const Matrix& m, const QuantizedRow* x, int i, float (*y)[ROWS_PER_TILE]) {
  int64_t begin = int64_t(i) * m.padded_columns;
  FloatRegister sums[R][REGISTERS_PER_TILE]{};
  if (m.type == INT8) {
    multiply_int8<R>(static_cast<const uint8_t*>(m.data) + begin, x, m.padded_columns, sums);
  } else {
    const _Float16* scale = static_cast<const _Float16*>(m.scale) + begin / COLUMNS_PER_GROUP;
    multiply_int4<R>(static_cast<const uint8_t*>(m.data) + begin / 2, scale, x, m.padded_columns, sums);
  }
  for (int j = 0; j < REGISTERS_PER_TILE; j++) {
    const float* scale = static_cast<const float*>(m.scale) + i + j * LANES;
    FloatRegister scales = m.type == INT8 ? load_register(scale) : 1 - FloatRegister{};
    for (int n = 0; n < R; n++) {
      FloatRegister product = sums[n][j] * scales;
      std::memcpy(y[n] + j * LANES, &product, sizeof product);
    }
  }
}

template <int R, typename N, typename X>
inline void dense_products(const N* w, const X* x, const Matrix& m, int i, float (*y)[ROWS_PER_TILE]) {
  int rows = std::min(ROWS_PER_TILE, m.rows - i);
  constexpr int rows_per_vector = FLOATS_PER_VECTOR / R;  // rows of weights whose products with R rows fill a vector of sums
  for (int j = 0; j < rows; j += rows_per_vector) {
    dispatch<rows_per_vector>(rows - j, [&](auto count) {
      multiply_dense<R, count.value>(w + int64_t(i + j) * m.columns, x, m.columns, &y[0][j]);
    });
  }
}

// Every thread normalizes all rows: cheaper than another barrier.
template <typename T>
inline const float* Decoder<T>::normalize_rows(const Norm& norm, Scratch& s) {
  const ModelLayout& m = model_;
  for (int r = 0; r < count_; r++) normalize(norm, m.norm_eps, &x_[r * m.width], m.width, &s.floats[r * m.width]);
  return s.floats.data();
}

// Converts the input to the type that a matrix is multiplied in.
template <typename T>
inline void Decoder<T>::quantize_input(const Matrix& m, const float* input, int count, Scratch& s) {
  if (m.type == BFLOAT16 && std::is_same_v<DenseInput, uint16_t>)
    std::transform(input, input + count * m.columns, s.halves.begin(), to_bf16);
  if (m.type != INT8 && m.type != INT4) return;
  for (int r = 0; r < count; r++) quantize_row(input + r * m.columns, m.columns, m.padded_columns, m.type, s.x[r]);
}

// Calls put(r, i, y, n): y are rows i to i + n of the matrix times row r of `input`, which `quantize_input` has converted.
// n is at most 16.
template <typename T>
template <typename Put>
inline void Decoder<T>::multiply(const Matrix& m, const float* input, int count, Scratch& s, Range rows, Put put) {
  multiply_lora_a(m, input, count, s);
  if (m.type == INT8 || m.type == INT4) return multiply_blocks<4>(m, input, count, s, rows, put);
  multiply_blocks<8>(m, input, count, s, rows, put);
}

// BLOCK rows of activations are multiplied together, as many as fit their sums into registers.
template <typename T>
template <int BLOCK, typename Put>
inline void Decoder<T>::multiply_blocks(const Matrix& m, const float* input, int count, const Scratch& s, Range rows,
                                        Put put) {
  for (int i = rows.begin; i < rows.end; i += ROWS_PER_TILE) {
    for (int r = 0; r < count; r += BLOCK) {
      dispatch<BLOCK>(count - r, [&](auto block) {
        float y[block.value][ROWS_PER_TILE];
        if constexpr (BLOCK == 4) {
          quantized_products<block.value>(m, s.x + r, i, y);
        } else if (m.type == FLOAT32) {
          dense_products<block.value>(static_cast<const float*>(m.data), input + r * m.columns, m, i, y);
        } else if constexpr (std::is_same_v<DenseInput, float>) {
          dense_products<block.value>(static_cast<const uint16_t*>(m.data), input + r * m.columns, m, i, y);
        } else {
          dense_products<block.value>(static_cast<const uint16_t*>(m.data), &s.halves[r * m.columns], m, i, y);
        }
        for (int n = 0; n < block.value; n++) {
          for (int j = 0; j < ROWS_PER_TILE && i + j < m.rows; j += FLOATS_PER_VECTOR) {
            if (const LoraDelta* delta = delta_of(m, r + n)) add_delta(*delta, s.low_rank[r + n].data(), i + j, y[n] + j);
            if (m.bias) store(y[n] + j, load(y[n] + j) + load(m.bias + i + j));
            put(r + n, i + j, y[n] + j, std::min(FLOATS_PER_VECTOR, m.rows - i - j));
          }
        }
      });
    }
  }
}

// x += norm(matrix * input), or sublayer_ = matrix * input. Ends with a barrier, so that every thread sees the sum.
template <typename T>
inline void Decoder<T>::add_projection(const Matrix& m, const float* input, const Norm& post, Scratch& s, int thread,
                                       bool keep_separate) {
  int width = model_.width;
  quantize_input(m, input, count_, s);
  Range columns = range(width, ROWS_PER_TILE, thread);
  bool direct = !keep_separate && post.type == NO_NORM;
  multiply(m, input, count_, s, columns, [&](int r, int i, const float* y, int n) {
    float* to = direct ? &x_[r * width + i] : &sublayer_[r * width + i];
    for (int j = 0; j < n; j++) to[j] = direct ? to[j] + y[j] : y[j];
  });
  barrier_.wait();
  if (post.type == NO_NORM) return;
  for (int r = 0; r < count_; r++) {
    normalize(post, model_.norm_eps, &sublayer_[r * width], width, s.floats.data());
    for (int i = columns.begin; i < columns.end; i++) x_[r * width + i] += s.floats[i];
  }
  barrier_.wait();
}

}  // namespace
