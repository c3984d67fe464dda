// Products of float32 matrices, C = A B or C += A B: blocks of both operands are copied into the order in which a kernel of
// registers reads them (Goto and van de Geijn, doi 10.1145/1356052.1356053). A row of C does not depend on the others, nor on
// the number of threads.
#pragma once

#include <cstdlib>

#include "registers.h"

namespace {

constexpr int ROWS = REGISTERS == 32 ? 12 : 6, COLUMNS = 2 * LANES;  // of the kernel's tile
constexpr int64_t DEPTH = 8192 / COLUMNS;                            // of a block: B's panel stays in the L1 cache
constexpr int64_t A_ROWS = 96, B_COLUMNS = 512;                      // of a block: A's stays in the L2 cache

struct Matrix {
  float* data;
  int64_t row_stride, column_stride;  // one of them is 1
  float* at(int64_t row, int64_t column) const { return data + row * row_stride + column * column_stride; }
};

struct Product {
  Matrix a, b, c;  // c's rows are contiguous
  int64_t rows, columns, depth;
  int32_t accumulate, symmetric;
  int32_t parts;  // that are computed at the same time
  std::atomic<int32_t> next_part;
};

// A tile of C from a panel of A (ROW_MAJOR: ROWS x depth, else depth x ROWS) and one of B (depth x COLUMNS).
template <bool ROW_MAJOR>
inline void add_tile(const float* __restrict a, const float* __restrict b, int64_t depth, float* c, int64_t c_stride, bool accumulate) {
  Register sums[ROWS][2] = {};
  const int64_t row_step = ROW_MAJOR ? depth : 1, depth_step = ROW_MAJOR ? 1 : ROWS;
#pragma GCC unroll 4
  for (int64_t k = 0; k < depth; k++) {
    Register left = load(b + k * COLUMNS), right = load(b + k * COLUMNS + LANES);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
      Register x = repeat(a[r * row_step + k * depth_step]);
      sums[r][0] += x * left;
      sums[r][1] += x * right;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      float* to = c + r * c_stride + half * LANES;
      store(to, accumulate ? load(to) + sums[r][half] : sums[r][half]);
    }
}

void add_partial_tile(bool row_major, const float* a, const float* b, int64_t depth, float* c, int64_t c_stride, bool accumulate, int64_t rows, int64_t columns) {
  alignas(64) float tile[ROWS * COLUMNS];
  row_major ? add_tile<true>(a, b, depth, tile, COLUMNS, false) : add_tile<false>(a, b, depth, tile, COLUMNS, false);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t n = 0; n < columns; n++) {
      float& to = c[r * c_stride + n];
      to = accumulate ? to + tile[r * COLUMNS + n] : tile[r * COLUMNS + n];
    }
}

// Copies `count` contiguous numbers into panels of WIDTH.
template <int WIDTH>
inline void copy_panels(const float* from, int64_t count, int64_t depth, float* to) {
  for (; count >= WIDTH; count -= WIDTH, from += WIDTH, to += WIDTH * depth) std::memcpy(to, from, sizeof(float) * WIDTH);
  if (count) std::memcpy(to, from, sizeof(float) * count);
}

// Panels of ROWS rows, each in the order of the source, with zeros after the last row.
void pack_a(const Matrix& a, int64_t row, int64_t rows, int64_t k, int64_t depth, float* to) {
  if (int64_t last = rows / ROWS * ROWS; last < rows) std::memset(to + last * depth, 0, sizeof(float) * ROWS * depth);
  if (a.column_stride == 1) {
    for (int64_t r = 0; r < rows; r++) std::memcpy(to + r * depth, a.at(row + r, k), sizeof(float) * depth);
    return;
  }
  for (int64_t d = 0; d < depth; d++) copy_panels<ROWS>(a.at(row, k + d), rows, depth, to + d * ROWS);
}

// Panels of COLUMNS columns, depth x COLUMNS each, with zeros after the last column.
void pack_b(const Matrix& b, int64_t k, int64_t depth, int64_t column, int64_t columns, float* to) {
  if (int64_t last = columns / COLUMNS * COLUMNS; last < columns) std::memset(to + last * depth, 0, sizeof(float) * COLUMNS * depth);
  if (b.column_stride == 1) {
    for (int64_t d = 0; d < depth; d++) copy_panels<COLUMNS>(b.at(k + d, column), columns, depth, to + d * COLUMNS);
    return;
  }
  for (int64_t start = 0; start < columns; start += COLUMNS, to += COLUMNS * depth) {
    int64_t count = std::min<int64_t>(COLUMNS, columns - start);
    const float* from = b.at(k, column + start);
    for (int64_t first = 0; first < depth; first += 16) {  // a cache line of each column
      int64_t last = std::min(depth, first + 16);
      for (int64_t n = 0; n < count; n++)
        for (int64_t d = first; d < last; d++) to[d * COLUMNS + n] = from[n * b.column_stride + d];
    }
  }
}

struct Buffers {
  float* a = static_cast<float*>(std::aligned_alloc(64, sizeof(float) * A_ROWS * DEPTH));
  float* b = static_cast<float*>(std::aligned_alloc(64, sizeof(float) * B_COLUMNS * DEPTH));
  ~Buffers() { std::free(a), std::free(b); }
};

// The smallest part in multiples of `unit` of which `parts` cover `size`.
int64_t part_size(int64_t size, int64_t parts, int64_t unit) { return (size + parts * unit - 1) / (parts * unit) * unit; }

void multiply_part(const Product& p, int64_t row, int64_t last_row, int64_t column, int64_t last_column) {
  thread_local Buffers buffers;
  const bool row_major = p.a.column_stride == 1;
  const int64_t depth_blocks = (p.depth + DEPTH - 1) / DEPTH, block_depth = (p.depth + depth_blocks - 1) / depth_blocks;
  const int64_t row_blocks = (last_row - row + A_ROWS - 1) / A_ROWS, block_rows = row_blocks ? part_size(last_row - row, row_blocks, ROWS) : 0;
  for (int64_t j = column; j < last_column; j += B_COLUMNS) {
    int64_t columns = std::min(B_COLUMNS, last_column - j);
    for (int64_t k = 0; k < p.depth; k += block_depth) {
      int64_t depth = std::min(block_depth, p.depth - k);
      bool accumulate = p.accumulate || k > 0;
      pack_b(p.b, k, depth, j, columns, buffers.b);
      for (int64_t i = row; i < last_row; i += block_rows) {
        int64_t rows = std::min(block_rows, last_row - i);
        pack_a(p.a, i, rows, k, depth, buffers.a);
        for (int64_t n = 0; n < columns; n += COLUMNS)
          for (int64_t m = 0; m < rows; m += ROWS) {
            if (p.symmetric && j + n + COLUMNS <= i + m) break;  // below the diagonal
            const float *a = buffers.a + m * depth, *b = buffers.b + n * depth;
            float* c = p.c.at(i + m, j + n);
            if (rows - m < ROWS || columns - n < COLUMNS)
              add_partial_tile(row_major, a, b, depth, c, p.c.row_stride, accumulate, std::min<int64_t>(ROWS, rows - m), std::min<int64_t>(COLUMNS, columns - n));
            else if (row_major)
              add_tile<true>(a, b, depth, c, p.c.row_stride, accumulate);
            else
              add_tile<false>(a, b, depth, c, p.c.row_stride, accumulate);
          }
      }
    }
  }
}

// Copies the right part of C's rows below the diagonal.
void mirror_rows(const Matrix& c, int64_t row, int64_t last_row, int64_t last_column) {
  for (int64_t start = row; start < last_column; start += 16)  // a cache line of each row
    for (int64_t r = row; r < last_row; r++)
      for (int64_t n = std::max(start, r + 1); n < std::min(start + 16, last_column); n++) *c.at(n, r) = *c.at(r, n);
}

}  // namespace
