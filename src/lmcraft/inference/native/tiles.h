// Products of int8 weights with more rows of activations than multiply_int8 computes at a time. All rows are multiplied with 64
// columns of a tile before the next 64 are read, so that the processor never stops to read weights ahead.
#pragma once

#include "panels.h"

namespace {

typedef FloatRegister TileSums[REGISTERS_PER_TILE];  // of a row of activations with the rows of a tile
constexpr int REGISTERS_PER_BLOCK = 2;               // of a tile, multiplied with ROWS_PER_BLOCK rows at most
constexpr int MIN_ROWS_OF_TILES = 5;
static_assert(REGISTERS_PER_TILE % REGISTERS_PER_BLOCK == 0);

// 64 columns of a tile, whose activations are those of span g.
template <int R>
[[gnu::noinline]] void add_int8_span(const uint8_t* w, const QuantizedRow* rows, int g, TileSums* out) {
  const int8_t* x[R];
  repeat<R>([&](auto r) LMCRAFT_INLINE { x[r] = rows[r].data + g * COLUMNS_PER_SPAN; });
  for (int first = 0; first < REGISTERS_PER_TILE; first += REGISTERS_PER_BLOCK) {
    IntRegister sums[R][REGISTERS_PER_BLOCK];
    repeat<R>([&](auto r) LMCRAFT_INLINE {
      int32_t offset = INT8_OFFSET ? rows[r].offset[g] : 0;
      repeat<REGISTERS_PER_BLOCK>([&](auto i) LMCRAFT_INLINE { sums[r][i] = offset - IntRegister{}; });
    });
    const uint8_t* from = w + 4 * LANES * first;
    for (int column = 0; column < COLUMNS_PER_SPAN; column += 4, from += BYTES_PER_4_COLUMNS) {
      Int8Weights weights[REGISTERS_PER_BLOCK];
      repeat<REGISTERS_PER_BLOCK>([&](auto i) LMCRAFT_INLINE { weights[i] = prepare_int8(load_bytes(from + 4 * LANES * i)); });
      repeat<R>([&](auto r) LMCRAFT_INLINE {
        ByteRegister activations = repeat_4_bytes(x[r] + column);
        repeat<REGISTERS_PER_BLOCK>([&](auto i) LMCRAFT_INLINE {
          sums[r][i] = add_int8_products(sums[r][i], weights[i], activations);
          keep_in_register(sums[r][i]);
        });
      });
    }
    repeat<R>([&](auto r) LMCRAFT_INLINE {
      repeat<REGISTERS_PER_BLOCK>([&](auto i) LMCRAFT_INLINE {
        FloatRegister& sum = out[r][first + i];
        sum = multiply_add(to_floats(sums[r][i]), rows[r].scale[g] - FloatRegister{}, sum);
      });
    });
  }
}

// 32 rows of weights with `count` rows of activations, in blocks of about the same size.
inline void multiply_int8_tile(const uint8_t* w, const QuantizedRow* x, int count, int columns, TileSums* out) {
  int blocks = (count + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK;
  for (int g = 0; g < columns / COLUMNS_PER_SPAN; g++, w += ROWS_PER_TILE * COLUMNS_PER_SPAN) {
    for (int block = 0; block < blocks; block++) {
      int begin = count * block / blocks, end = count * (block + 1) / blocks;
      dispatch<ROWS_PER_BLOCK>(end - begin, [&](auto rows) { add_int8_span<rows.value>(w, x + begin, g, out + begin); });
    }
  }
}

}  // namespace
