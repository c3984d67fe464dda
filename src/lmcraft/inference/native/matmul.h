// A matrix times all rows, with its bias and the rows' adapters; each thread computes some rows of the matrix.
#pragma once

#include "decoder.h"
#include "lora.h"

namespace {

inline int even(int count) { return count + count % 2; }

template <int R>
inline void quantized_products(const Matrix& m, const QuantizedRow* x, int i, float (*y)[ROWS_PER_TILE]) {
  int64_t begin = int64_t(i) * m.padded_columns;
  FloatRegister sums[R][REGISTERS_PER_TILE]{};
  if (m.type == INT8) {
    multiply_int8<R>(static_cast<const uint8_t*>(m.data) + begin, x, m.padded_columns, sums);
  } else {
    const Half* scale = static_cast<const Half*>(m.scale) + begin / COLUMNS_PER_GROUP;
    const Half* shift = m.shift ? static_cast<const Half*>(m.shift) + begin / COLUMNS_PER_GROUP : nullptr;
    multiply_int4<R>(static_cast<const uint8_t*>(m.data) + begin / 2, scale, shift, x, m.padded_columns, sums);
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

template <typename T>
inline const float* Decoder<T>::normalize_rows(const Norm& norm, Scratch& s) {
  const ModelLayout& m = model_;
  AlignedVector<float>& floats = inputs(s).floats;
  Range rows = input_rows(s);
  for (int r = rows.begin; r < rows.end; r++) normalize(norm, m.norm_eps, &x_[r * m.width], m.width, &floats[r * m.width]);
  return floats.data();
}

// Norms rows of `width` numbers, between two barriers.
template <typename T>
inline void Decoder<T>::normalize_in_place(const Norm& norm, float* x, int width, Scratch& s) {
  if (norm.type == NO_NORM) return;
  Range rows = range(count_, 1, s.thread);
  for (int r = rows.begin; r < rows.end; r++) {
    float* row = x + int64_t(r) * width;
    normalize(norm, model_.norm_eps, row, width, row);
  }
  barrier_.wait();
}

// Converts the input to the type that a matrix is multiplied in.
template <typename T>
inline void Decoder<T>::convert_input(const Matrix& m, const float* input, Range rows, Inputs& in) {
  for (int r = rows.begin; r < rows.end; r++) {
    const float* x = input + int64_t(r) * m.columns;
    if (m.type == BFLOAT16 && std::is_same_v<DenseInput, uint16_t>) {
      uint16_t* halves = &in.halves[int64_t(r) * even(m.columns)];
      std::transform(x, x + m.columns, halves, to_bf16);
      if (m.columns % 2) halves[m.columns] = 0;
    } else if (m.type == INT8 || m.type == INT4) {
      quantize_row(x, m.columns, m.padded_columns, m.type, in.x[r]);
      if (prompt_ && m.type == INT8 && sizeof(PanelInt8) > 1)
        std::copy_n(in.x[r].data, m.padded_columns, &in.wide[int64_t(r) * m.padded_columns]);
    }
  }
}

// Calls put(r, i, y, n): y are rows i to i + n of the matrix times row r of `input`, which `convert_input` has converted.
// n is at most 16.
template <typename T>
template <typename Put>
inline void Decoder<T>::multiply(const Matrix& m, const float* input, Scratch& s, Put put) {
  Inputs& in = inputs(s);
  if (prompt_) barrier_.wait();  // another thread may still read low_rank
  multiply_lora_a(m, input, input_rows(s), in);
  if (!prompt_) return multiply_few(m, input, count_, in, range(m.rows, ROWS_PER_TILE, s.thread), put);
  barrier_.wait();
  int panels = (m.rows + PANEL_ROWS - 1) / PANEL_ROWS;
  share(panels, s, [&](int panel) { multiply_panel(m, input, in, panel * PANEL_ROWS, s, put); });
}

template <typename T>
template <typename Put>
inline void Decoder<T>::multiply_few(const Matrix& m, const float* input, int count, const Inputs& in, Range rows, Put put) {
  if (m.type == INT8 || m.type == INT4) return multiply_blocks<4>(m, input, count, in, rows, put);
  for (int i = rows.begin; i < rows.end; i += ROWS_PER_TILE) {
    float y[MAX_ROWS_PER_STEP][ROWS_PER_TILE];
    int tile = std::min(ROWS_PER_TILE, m.rows - i), columns = m.columns;
    int64_t begin = int64_t(i) * columns;
    if (m.type == FLOAT32) {
      multiply_dense(static_cast<const float*>(m.data) + begin, tile, input, columns, count, columns, y);
    } else if constexpr (std::is_same_v<DenseInput, float>) {
      multiply_dense(static_cast<const uint16_t*>(m.data) + begin, tile, input, columns, count, columns, y);
    } else {
      multiply_dense(static_cast<const uint16_t*>(m.data) + begin, tile, in.halves.data(), even(columns), count, columns, y);
    }
    for (int r = 0; r < count; r++) finish_row(m, in, r, i, ROWS_PER_TILE, y[r], put);
  }
}

// BLOCK rows of activations are multiplied together, as many as fit their sums into registers.
template <typename T>
template <int BLOCK, typename Put>
inline void Decoder<T>::multiply_blocks(const Matrix& m, const float*, int count, const Inputs& in, Range rows, Put put) {
  for (int i = rows.begin; i < rows.end; i += ROWS_PER_TILE) {
    for (int r = 0; r < count; r += BLOCK) {
      dispatch<BLOCK>(count - r, [&](auto block) {
        float y[block.value][ROWS_PER_TILE];
        quantized_products<block.value>(m, &in.x[r], i, y);
        for (int n = 0; n < block.value; n++) finish_row(m, in, r + n, i, ROWS_PER_TILE, y[n], put);
      });
    }
  }
}

// Adds the adapter and the bias to `rows` products with row r of the input, and calls `put`.
template <typename T>
template <typename Put>
inline void Decoder<T>::finish_row(const Matrix& m, const Inputs& in, int r, int i, int rows, float* y, Put put) {
  for (int j = 0; j < rows && i + j < m.rows; j += FLOATS_PER_VECTOR) {
    if (const LoraDelta* delta = delta_of(m, r)) add_delta(*delta, in.low_rank[r].data(), i + j, y + j);
    if (m.bias) store(y + j, load(y + j) + load(m.bias + i + j));
    put(r, i + j, y + j, std::min(FLOATS_PER_VECTOR, m.rows - i - j));
  }
}

// The weights from row i on as a panel.
inline Panel fill_panel(const Matrix& m, int i, FloatRegister* buffer) {
  int64_t begin = int64_t(i / ROWS_PER_TILE) * ROWS_PER_TILE * m.padded_columns;  // of the tile
  int row = i % ROWS_PER_TILE, rows = std::min(PANEL_ROWS, m.rows - i);
  const uint8_t* data = static_cast<const uint8_t*>(m.data);
  Panel panel{reinterpret_cast<const uint8_t*>(buffer), 4 * PANEL_ROWS, nullptr, nullptr};
  if (m.type == INT8 && sizeof(PanelInt8) == 1) {
    panel.data = data + begin + 4 * row;
    panel.stride = BYTES_PER_4_COLUMNS;
  } else if (m.type == INT8) {
    fill_wide_panel(data + begin + 4 * row, m.padded_columns, buffer);
  } else if (m.type == INT4) {
    panel.scale = static_cast<const Half*>(m.scale) + begin / COLUMNS_PER_GROUP + row;
    if (m.shift) panel.shift = static_cast<const Half*>(m.shift) + begin / COLUMNS_PER_GROUP + row;
    fill_int4_panel(data + begin / 2 + 4 * row, m.padded_columns, buffer);
  } else if (m.type == FLOAT32) {
    fill_dense_panel<float>(static_cast<const float*>(m.data) + int64_t(i) * m.columns, rows, m.columns, buffer);
  } else {
    fill_dense_panel<DenseInput>(static_cast<const uint16_t*>(m.data) + int64_t(i) * m.columns, rows, m.columns, buffer);
  }
  return panel;
}

// Rows r to r + ROWS_PER_BLOCK of the input; the last row again after the end.
inline Block block_of(const Matrix& m, const float* input, const Inputs& in, int r, int count) {
  Block block;
  for (int n = 0; n < ROWS_PER_BLOCK; n++) {
    int row = std::min(r + n, count - 1);
    block.offset[n] = in.x[row].offset;
    block.scale[n] = in.x[row].scale;
    const void* data = in.x[row].data;
    if (m.type == INT8 && sizeof(PanelInt8) > 1) data = &in.wide[int64_t(row) * m.padded_columns];
    if (m.type == FLOAT32 || m.type == BFLOAT16) data = input + int64_t(row) * m.columns;
    if (m.type == BFLOAT16 && std::is_same_v<DenseInput, uint16_t>) data = &in.halves[int64_t(row) * even(m.columns)];
    block.data[n] = static_cast<const uint8_t*>(data);
  }
  return block;
}

// A panel of the matrix, its rows from i on, times all rows of the input.
template <typename T>
template <typename Put>
inline void Decoder<T>::multiply_panel(const Matrix& m, const float* input, const Inputs& in, int i, Scratch& s, Put put) {
  Panel panel = fill_panel(m, i, s.panel.data());
  for (int r = 0; r < count_; r += ROWS_PER_BLOCK) {
    Block block = block_of(m, input, in, r, count_);
    PanelSums sums{};
    if (m.type == INT8) {
      multiply_int8_panel(panel, block, m.padded_columns, sums);
      for (int j = 0; j < PANEL_REGISTERS; j++) {
        FloatRegister scales = load_register(static_cast<const float*>(m.scale) + i + j * LANES);
        for (int n = 0; n < ROWS_PER_BLOCK; n++) sums[n][j] *= scales;
      }
    } else if (m.type == INT4) {
      multiply_int4_panel(panel, block, m.padded_columns, sums);
    } else if (m.type == FLOAT32) {
      multiply_dense_panel<float>(panel, block, m.columns, sums);
    } else {
      multiply_dense_panel<DenseInput>(panel, block, even(m.columns) * sizeof(DenseInput) / 4, sums);
    }
    for (int n = 0; n < std::min(ROWS_PER_BLOCK, count_ - r); n++)
      finish_row(m, in, r + n, i, PANEL_ROWS, reinterpret_cast<float*>(sums[n]), put);
  }
}

// x += norm(matrix * input), x = norm(x + matrix * input), or sublayer_ = matrix * input, all with the product times the
// scale of the model. Ends with a barrier, so that every thread sees the sum.
template <typename T>
inline void Decoder<T>::add_projection(const Matrix& m, const float* input, const Norm& post, Scratch& s,
                                       bool keep_separate) {
  int width = model_.width;
  convert_input(m, input, input_rows(s), inputs(s));
  bool direct = !keep_separate && (post.type == NO_NORM || model_.norms_sums);
  float scale = model_.residual_scale, product_scale = direct || post.type == NO_NORM ? scale : 1;
  multiply(m, input, s, [&](int r, int i, const float* y, int n) {
    float* to = direct ? &x_[r * width + i] : &sublayer_[r * width + i];
    for (int j = 0; j < n; j++) to[j] = direct ? to[j] + y[j] * product_scale : y[j] * product_scale;
  });
  barrier_.wait();
  if (post.type == NO_NORM) return;
  if (model_.norms_sums) return normalize_in_place(post, x_.data(), width, s);
  Range rows = input_rows(s), columns = prompt_ ? Range{0, width} : range(width, ROWS_PER_TILE, s.thread);
  for (int r = rows.begin; r < rows.end; r++) {
    float* normed = s.inputs.floats.data();
    normalize(post, model_.norm_eps, &sublayer_[r * width], width, normed);
    for (int i = columns.begin; i < columns.end; i++) x_[r * width + i] += normed[i] * scale;
  }
  barrier_.wait();
}

}  // namespace
