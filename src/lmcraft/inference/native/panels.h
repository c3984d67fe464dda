// Products of weights with the many rows of a prompt. A panel is some rows of the weights, prepared once for all rows of
// activations: each lane of its registers holds one row, 4 bytes of it after another. Then blocks of activations are
// multiplied with it, as many rows together as fit their sums into registers. The sums of a row have the same order whatever
// its neighbors; with integers it is also that of products.h.
#pragma once

#include "products.h"

namespace {

constexpr int PANEL_ROWS = PANEL_REGISTERS * LANES;
constexpr int ROWS_PER_BLOCK = 6;  // of activations
static_assert(ROWS_PER_TILE % PANEL_ROWS == 0 && PANEL_ROWS % FLOATS_PER_VECTOR == 0);

struct Panel {
  const uint8_t* data;  // 4 bytes of each row, then the next 4
  int stride;           // in bytes
  const Half* scale;  // int4
  const Half* shift;  // int4, or null
};

struct Block {  // rows of activations in the type that a panel is multiplied with
  const uint8_t* data[ROWS_PER_BLOCK];
  const int32_t* offset[ROWS_PER_BLOCK];
  const float* scale[ROWS_PER_BLOCK];
};

// Adds the products of some steps, of 4 bytes of each row, to the sums.
template <typename Sum, typename Add>
LMCRAFT_INLINE inline void add_steps(const uint8_t* panel, int stride, const Block& block, int first, int steps,
                                             Sum (&sums)[ROWS_PER_BLOCK][PANEL_REGISTERS], Add add) {
  const uint8_t* x[ROWS_PER_BLOCK];
  repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE { x[r] = block.data[r] + 4 * first; });
  for (int step = 0; step < steps; step++, panel += stride) {
    ByteRegister weights[PANEL_REGISTERS];
    repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE { weights[i] = load_bytes(panel + 4 * LANES * i); });
    repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
      ByteRegister activations = repeat_4_bytes(x[r] + 4 * step);
      repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE {
        sums[r][i] = add(sums[r][i], weights[i], activations);
        keep_in_register(sums[r][i]);
      });
    });
  }
}

typedef FloatRegister PanelSums[ROWS_PER_BLOCK][PANEL_REGISTERS];

[[gnu::noinline]] void multiply_int8_panel(const Panel& panel, const Block& block, int columns, PanelSums& out) {
  constexpr int steps = COLUMNS_PER_SPAN * sizeof(PanelInt8) / 4;
  for (int g = 0; g < columns / COLUMNS_PER_SPAN; g++) {
    IntRegister sums[ROWS_PER_BLOCK][PANEL_REGISTERS];
    repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
      int32_t offset = INT8_OFFSET ? block.offset[r][g] : 0;
      repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE { sums[r][i] = offset - IntRegister{}; });
    });
    add_steps(panel.data + int64_t(g) * steps * panel.stride, panel.stride, block, g * steps, steps, sums,
              [](IntRegister s, ByteRegister w, ByteRegister x) LMCRAFT_INLINE { return add_panel_products(s, w, x); });
    repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
      repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE {
        out[r][i] = multiply_add(to_floats(sums[r][i]), block.scale[r][g] - FloatRegister{}, out[r][i]);
      });
    });
  }
}

[[gnu::noinline]] void multiply_int4_panel(const Panel& panel, const Block& block, int columns, PanelSums& out) {
  constexpr int steps = COLUMNS_PER_GROUP / 4;
  for (int g = 0; g < columns / COLUMNS_PER_GROUP; g++) {
    Int4Sums sums[ROWS_PER_BLOCK][PANEL_REGISTERS];
    repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
      repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE { sums[r][i] = Int4Sums{}; });
    });
    add_steps(panel.data + int64_t(g) * steps * panel.stride, panel.stride, block, g * steps, steps, sums,
              [](Int4Sums s, ByteRegister w, ByteRegister x) LMCRAFT_INLINE { return add_int4_products(s, w, x); });
    repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE {
      FloatRegister scales = load_register(panel.scale + g * ROWS_PER_TILE + LANES * i);
      repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
        FloatRegister factor = scales * block.scale[r][g * COLUMNS_PER_GROUP / COLUMNS_PER_SPAN];
        out[r][i] = multiply_add(to_floats(widen(sums[r][i]) + block.offset[r][g]), factor, out[r][i]);
      });
      if (!panel.shift) return;
      FloatRegister shifts = load_register(panel.shift + g * ROWS_PER_TILE + LANES * i);
      repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
        float total = sum_of_group(block.offset[r], block.scale[r], g);
        out[r][i] = multiply_add(shifts, total - FloatRegister{}, out[r][i]);
      });
    });
  }
}

// float32, or bfloat16 in the type that panels hold it in.
template <typename N>
[[gnu::noinline]] void multiply_dense_panel(const Panel& panel, const Block& block, int steps, PanelSums& out) {
  PanelSums sums;
  repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
    repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE { sums[r][i] = out[r][i]; });
  });
  add_steps(panel.data, panel.stride, block, 0, steps, sums, [](auto s, ByteRegister w, ByteRegister x) LMCRAFT_INLINE {
    if constexpr (std::is_same_v<N, float>) {
      return multiply_add(FloatRegister(w), FloatRegister(x), s);
    } else {
      return add_bf16_products(s, w, x);
    }
  });
  repeat<ROWS_PER_BLOCK>([&](auto r) LMCRAFT_INLINE {
    repeat<PANEL_REGISTERS>([&](auto i) LMCRAFT_INLINE { out[r][i] = sums[r][i]; });
  });
}

// Exchanges the lanes of registers with the registers: lane j of register i becomes lane i of register j.
template <int S, size_t... I>
inline void transpose_halves(FloatRegister& a, FloatRegister& b, std::index_sequence<I...>) {
  FloatRegister first = __builtin_shufflevector(a, b, (I & S ? LANES + (I - S) : I)...);
  b = __builtin_shufflevector(a, b, (I & S ? LANES + I : I + S)...);
  a = first;
}
template <int S = LANES / 2>
inline void transpose(FloatRegister* v) {
  if constexpr (S > 0) {
    for (int i = 0; i < LANES; i++)
      if (!(i & S)) transpose_halves<S>(v[i], v[i + S], std::make_index_sequence<LANES>());
    transpose<S / 2>(v);
  }
}

// LANES times 4 bytes of the weights of a row in the type of a panel: float32, or pairs of bfloat16. Zeros after n numbers.
template <typename P, typename N>
inline FloatRegister load_units(const N* p, int n) {
  constexpr int count = LANES * 4 / sizeof(P);
  N numbers[count]{};
  if (n < count) p = std::copy_n(p, std::max(n, 0), numbers) - std::max(n, 0);
  if constexpr (std::is_same_v<P, float>) {
    return load_register(p);
  } else {
    FloatRegister units;
    std::memcpy(&units, p, sizeof units);
    return units;
  }
}

// Rows of dense weights as a panel of numbers of type P.
template <typename P, typename N>
inline void fill_dense_panel(const N* w, int rows, int columns, FloatRegister* panel) {
  constexpr int columns_per_step = 4 / sizeof(P);
  int steps = (columns + columns_per_step - 1) / columns_per_step;
  for (int i = 0; i < PANEL_REGISTERS; i++) {
    for (int step = 0; step < steps; step += LANES) {
      FloatRegister v[LANES];
      for (int lane = 0; lane < LANES; lane++) {
        int row = i * LANES + lane, column = step * columns_per_step;
        v[lane] = row < rows ? load_units<P>(w + int64_t(row) * columns + column, columns - column) : FloatRegister{};
      }
      transpose(v);
      for (int j = 0; j < std::min(LANES, steps - step); j++) panel[(step + j) * PANEL_REGISTERS + i] = v[j];
    }
  }
}

// Rows of a tile of int8 weights (see multiply_int8) as signed 16-bit numbers.
inline void fill_wide_panel(const uint8_t* tile, int columns, FloatRegister* panel) {
  for (int column = 0; column < columns; column += 4, tile += BYTES_PER_4_COLUMNS, panel += 2 * PANEL_REGISTERS) {
    for (int i = 0; i < PANEL_REGISTERS; i++) {
      IntRegister bytes;
      std::memcpy(&bytes, tile + 4 * LANES * i, sizeof bytes);
      bytes ^= int32_t(0x80808080);
      panel[i] = FloatRegister((bytes << 24 >> 24 & 0xffff) | (bytes << 16 >> 24 << 16));
      panel[PANEL_REGISTERS + i] = FloatRegister((bytes << 8 >> 24 & 0xffff) | (bytes >> 24 << 16));
    }
  }
}

// Rows of a tile of int4 weights (see multiply_int4) as bytes, each weight + 8.
inline void fill_int4_panel(const uint8_t* tile, int columns, FloatRegister* panel) {
  constexpr int half = COLUMNS_PER_GROUP / 8 * PANEL_REGISTERS;
  for (int g = 0; g < columns / COLUMNS_PER_GROUP; g++, panel += 2 * half) {
    for (int step = 0; step < COLUMNS_PER_GROUP / 8; step++, tile += BYTES_PER_4_COLUMNS) {
      for (int i = 0; i < PANEL_REGISTERS; i++) {
        ByteRegister both = load_bytes(tile + 4 * LANES * i), low = low_half(both), high = high_half(both);
        std::memcpy(&panel[step * PANEL_REGISTERS + i], &low, sizeof low);
        std::memcpy(&panel[half + step * PANEL_REGISTERS + i], &high, sizeof high);
      }
    }
  }
}

}  // namespace
