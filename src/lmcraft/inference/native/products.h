// Products of weights with a few rows of activations, which take most of a step's time. Those of integers are hand-written
// for AVX-512 VNNI and AVX2, with a portable fallback.
#pragma once

#include "vectors.h"

namespace {

struct QuantizedRow {  // a row of activations: value = data * scale of its 64 columns
  int8_t* data;
  int32_t* offset;  // int8: -128 times the sum of each 64 numbers; int4: -8 times the sum of each 32
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
      rounded[i] = __builtin_convertvector(fma(v[i], broadcast(inverse), ROUNDING_MAGIC) - ROUNDING_MAGIC, Ints);
      Bytes bytes = __builtin_convertvector(rounded[i], Bytes);
      std::memcpy(out.data + g * COLUMNS_PER_SPAN + i * FLOATS_PER_VECTOR, &bytes, sizeof bytes);
    }
    if (type == INT8) {
      out.offset[g] = -128 * sum(rounded[0] + rounded[1] + rounded[2] + rounded[3]);
    } else {
      out.offset[2 * g] = -8 * sum(rounded[0] + rounded[1]);
      out.offset[2 * g + 1] = -8 * sum(rounded[2] + rounded[3]);
    }
  }
}

inline uint16_t to_bf16(float value) {  // to nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#if defined(__AVX512VNNI__)
inline __m512i broadcast_4_bytes(const int8_t* p) {  // four bytes, 16 times
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm512_set1_epi32(bytes);
}
#elif defined(__AVX2__)
inline __m256i broadcast_4_bytes(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm256_set1_epi32(bytes);
}
#endif

// 32 rows of int8 weights with R rows of activations. Each 128 bytes hold four columns of 32 rows, each weight + 128.
template <int R>
inline void multiply_int8(const uint8_t* w, const QuantizedRow* x, int columns, Floats (*out)[2]) {
  for (int g = 0; g < columns / COLUMNS_PER_SPAN; g++, w += ROWS_PER_TILE * COLUMNS_PER_SPAN) {
    Ints sums[R][2];
#if defined(__AVX512VNNI__)
    __m512i s[R][2];
    for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(x[r].offset[g]);
#pragma GCC unroll 16  // without unrolling, the compiler copies every sum
    for (int i = 0; i < COLUMNS_PER_SPAN; i += 4) {
      __m512i first = _mm512_load_si512(w + ROWS_PER_TILE * i), second = _mm512_load_si512(w + ROWS_PER_TILE * i + 64);
      for (int r = 0; r < R; r++) {
        __m512i bytes = broadcast_4_bytes(x[r].data + g * COLUMNS_PER_SPAN + i);
        s[r][0] = _mm512_dpbusd_epi32(s[r][0], first, bytes);
        s[r][1] = _mm512_dpbusd_epi32(s[r][1], second, bytes);
      }
    }
    for (int r = 0; r < R; r++)
      for (int half = 0; half < 2; half++) sums[r][half] = Ints(s[r][half]);
#elif defined(__AVX2__)
    const __m256i ones = _mm256_set1_epi16(1), sign_bits = _mm256_set1_epi8(-128);
    for (int quarter = 0; quarter < 4; quarter++) {  // 8 rows of weights
      __m256i s[R];
      for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
      for (int i = 0; i < COLUMNS_PER_SPAN; i += 4) {
        __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + ROWS_PER_TILE * i + 32 * quarter));
        __m256i weights = _mm256_xor_si256(bytes, sign_bits), magnitudes = _mm256_abs_epi8(weights);  // signed again
        for (int r = 0; r < R; r++) {  // 127 * 127 * 2 does not saturate 16 bits
          __m256i activations = broadcast_4_bytes(x[r].data + g * COLUMNS_PER_SPAN + i);
          __m256i products = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(activations, weights));
          s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(products, ones));
        }
      }
      for (int r = 0; r < R; r++) std::memcpy(reinterpret_cast<char*>(sums[r]) + 32 * quarter, &s[r], 32);
    }
#else
    for (int r = 0; r < R; r++) {
      int32_t rows[ROWS_PER_TILE];
      std::fill(rows, rows + ROWS_PER_TILE, x[r].offset[g]);
      for (int i = 0; i < COLUMNS_PER_SPAN; i += 4)
        for (int row = 0; row < ROWS_PER_TILE; row++)
          for (int c = 0; c < 4; c++)
            rows[row] += int32_t(w[ROWS_PER_TILE * i + 4 * row + c]) * x[r].data[g * COLUMNS_PER_SPAN + i + c];
      std::memcpy(sums[r], rows, sizeof rows);
    }
#endif
    for (int r = 0; r < R; r++)
      for (int half = 0; half < 2; half++)
        out[r][half] = fma(__builtin_convertvector(sums[r][half], Floats), broadcast(x[r].scale[g]), out[r][half]);
  }
}

// The same for int4 weights: 512 bytes hold 32 columns of 32 rows. The low 4 bits of each 128 bytes are four of the first
// 16 columns, the high 4 bits four of the last 16, each weight + 8.
template <int R>
inline void multiply_int4(const uint8_t* w, const _Float16* scale, const QuantizedRow* x, int columns, Floats (*out)[2]) {
  for (int g = 0; g < columns / COLUMNS_PER_GROUP; g++, w += ROWS_PER_TILE * COLUMNS_PER_GROUP / 2, scale += ROWS_PER_TILE) {
    Ints sums[R][2];
#if defined(__AVX512VNNI__)
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i s[R][2];
    for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(x[r].offset[g]);
    for (int i = 0; i < 16; i += 4) {
      __m512i first = _mm512_load_si512(w + ROWS_PER_TILE * i), second = _mm512_load_si512(w + ROWS_PER_TILE * i + 64);
      for (int upper = 0; upper < 2; upper++) {
        __m512i a = _mm512_and_si512(first, mask), b = _mm512_and_si512(second, mask);
        for (int r = 0; r < R; r++) {
          __m512i bytes = broadcast_4_bytes(x[r].data + g * COLUMNS_PER_GROUP + 16 * upper + i);
          s[r][0] = _mm512_dpbusd_epi32(s[r][0], a, bytes);
          s[r][1] = _mm512_dpbusd_epi32(s[r][1], b, bytes);
        }
        first = _mm512_srli_epi16(first, 4);
        second = _mm512_srli_epi16(second, 4);
      }
    }
    for (int r = 0; r < R; r++)
      for (int half = 0; half < 2; half++) sums[r][half] = Ints(s[r][half]);
#elif defined(__AVX2__)
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    for (int quarter = 0; quarter < 4; quarter++) {
      __m256i s[R];
      for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
      for (int i = 0; i < 16; i += 4) {  // 15 * 127 * 2 * 8 does not saturate 16 bits
        __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + ROWS_PER_TILE * i + 32 * quarter));
        __m256i low = _mm256_and_si256(both, mask), high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
        for (int r = 0; r < R; r++) {
          const int8_t* activations = x[r].data + g * COLUMNS_PER_GROUP + i;
          s[r] = _mm256_add_epi16(s[r], _mm256_maddubs_epi16(low, broadcast_4_bytes(activations)));
          s[r] = _mm256_add_epi16(s[r], _mm256_maddubs_epi16(high, broadcast_4_bytes(activations + 16)));
        }
      }
      for (int r = 0; r < R; r++) {
        __m256i wide = _mm256_add_epi32(_mm256_madd_epi16(s[r], ones), _mm256_set1_epi32(x[r].offset[g]));
        std::memcpy(reinterpret_cast<char*>(sums[r]) + 32 * quarter, &wide, 32);
      }
    }
#else
    for (int r = 0; r < R; r++) {
      const int8_t* bytes = x[r].data + g * COLUMNS_PER_GROUP;
      int32_t rows[ROWS_PER_TILE];
      std::fill(rows, rows + ROWS_PER_TILE, x[r].offset[g]);
      for (int i = 0; i < 16; i += 4)
        for (int row = 0; row < ROWS_PER_TILE; row++)
          for (int c = 0; c < 4; c++) {
            int32_t both = w[ROWS_PER_TILE * i + 4 * row + c];
            rows[row] += (both & 15) * bytes[i + c] + (both >> 4) * bytes[16 + i + c];
          }
      std::memcpy(sums[r], rows, sizeof rows);
    }
#endif
    for (int half = 0; half < 2; half++) {
      Floats scales = load(scale + half * FLOATS_PER_VECTOR);
      for (int r = 0; r < R; r++) {
        Floats factor = scales * x[r].scale[g * COLUMNS_PER_GROUP / COLUMNS_PER_SPAN];
        out[r][half] = fma(__builtin_convertvector(sums[r][half], Floats), factor, out[r][half]);
      }
    }
  }
}

// Adds the products of 32 pairs of numbers to 16 sums.
inline Floats add_products(const float* a, const float* b, Floats s) {
  return fma(load(a + FLOATS_PER_VECTOR), load(b + FLOATS_PER_VECTOR), fma(load(a), load(b), s));
}
inline Floats add_products(const uint16_t* a, const uint16_t* b, Floats s) {
#if defined(__AVX512BF16__)
  return Floats(_mm512_dpbf16_ps(__m512(s), __m512bh(_mm512_loadu_si512(a)), __m512bh(_mm512_loadu_si512(b))));
#else
  return fma(load(a + FLOATS_PER_VECTOR), load(b + FLOATS_PER_VECTOR), fma(load(a), load(b), s));
#endif
}

// W rows of weights, float32 or bfloat16, with R rows of activations of the same type: out[weight row + ROWS_PER_TILE * r].
// One row of weights after another: reading several streams in parallel costs more than the arithmetic that it saves.
template <int R, int W, typename N>
inline void multiply_dense(const N* w, const N* x, int columns, float* out) {
  Floats v[FLOATS_PER_VECTOR]{};
  int whole_columns = columns / (2 * FLOATS_PER_VECTOR) * 2 * FLOATS_PER_VECTOR, remainder = columns - whole_columns;
  for (int j = 0; j < W; j++, w += columns) {
    Floats s[R]{};
    for (int i = 0; i < whole_columns; i += 2 * FLOATS_PER_VECTOR)
      for (int r = 0; r < R; r++) s[r] = add_products(w + i, x + r * columns + i, s[r]);
    for (int r = 0; r < R; r++) {
      if (remainder) {
        N a[2 * FLOATS_PER_VECTOR]{}, b[2 * FLOATS_PER_VECTOR]{};
        std::copy_n(w + whole_columns, remainder, a);
        std::copy_n(x + r * columns + whole_columns, remainder, b);
        s[r] = add_products(a, b, s[r]);
      }
      v[r * W + j] = s[r];
    }
  }
  float y[FLOATS_PER_VECTOR];
  store(y, sum_each(v));
  for (int r = 0; r < R; r++) std::copy_n(y + r * W, W, out + ROWS_PER_TILE * r);
}

}  // namespace
