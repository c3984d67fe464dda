// Products of weights with a few rows of activations, which are what a step's time goes to. Those of bytes are written by
// hand for AVX-512 VNNI and AVX2, with a portable form.
#pragma once

#include "vectors.h"

namespace {

struct Quantized {  // activations of a row: value = byte * scale of its 64 columns
  int8_t* data;
  int32_t* offset;  // int8: -128 times the sum of each 64 bytes; int4: -8 times the sum of each 32
  float* scale;
};

void quantize(const float* x, int n, int padded, int32_t kind, const Quantized& out) {
  for (int g = 0; g < padded / SPAN; g++) {
    Floats v[4];
    Ints whole[4];
    for (int i = 0; i < 4; i++) v[i] = some(x + g * SPAN + i * LANES, n - g * SPAN - i * LANES);
    Floats most = larger(larger(magnitude(v[0]), magnitude(v[1])), larger(magnitude(v[2]), magnitude(v[3])));
    float top = largest(most), inverse = top > 0 ? 127 / top : 0;
    out.scale[g] = top / 127;
    for (int i = 0; i < 4; i++) {
      whole[i] = __builtin_convertvector(fma(v[i], all(inverse), MAGIC) - MAGIC, Ints);
      Bytes bytes = __builtin_convertvector(whole[i], Bytes);
      std::memcpy(out.data + g * SPAN + i * LANES, &bytes, sizeof bytes);
    }
    if (kind == INT8) {
      out.offset[g] = -128 * sum(whole[0] + whole[1] + whole[2] + whole[3]);
    } else {
      out.offset[2 * g] = -8 * sum(whole[0] + whole[1]);
      out.offset[2 * g + 1] = -8 * sum(whole[2] + whole[3]);
    }
  }
}

inline uint16_t to_bf16(float value) {  // to nearest, of two as near to the even one
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#if defined(__AVX512VNNI__)
inline __m512i four(const int8_t* p) {  // the same four bytes 16 times
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm512_set1_epi32(bytes);
}
#elif defined(__AVX2__)
inline __m256i four(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm256_set1_epi32(bytes);
}
#endif

// 32 rows of weights with R rows of activations. Each 128 bytes have four columns of 32 rows, each weight + 128.
template <int R>
inline void multiply_int8(const uint8_t* w, const Quantized* x, int columns, Floats (*out)[2]) {
  for (int g = 0; g < columns / SPAN; g++, w += TILE * SPAN) {
    Ints sums[R][2];
#if defined(__AVX512VNNI__)
    __m512i s[R][2];
    for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(x[r].offset[g]);
#pragma GCC unroll 16  // as a loop, the compiler copies every sum
    for (int i = 0; i < SPAN; i += 4) {
      __m512i first = _mm512_load_si512(w + TILE * i), second = _mm512_load_si512(w + TILE * i + 64);
      for (int r = 0; r < R; r++) {
        __m512i bytes = four(x[r].data + g * SPAN + i);
        s[r][0] = _mm512_dpbusd_epi32(s[r][0], first, bytes);
        s[r][1] = _mm512_dpbusd_epi32(s[r][1], second, bytes);
      }
    }
    for (int r = 0; r < R; r++)
      for (int half = 0; half < 2; half++) sums[r][half] = Ints(s[r][half]);
#elif defined(__AVX2__)
    const __m256i ones = _mm256_set1_epi16(1), middle = _mm256_set1_epi8(-128);
    for (int quarter = 0; quarter < 4; quarter++) {  // 8 rows of weights
      __m256i s[R];
      for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
      for (int i = 0; i < SPAN; i += 4) {
        __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + TILE * i + 32 * quarter));
        __m256i weights = _mm256_xor_si256(bytes, middle), magnitudes = _mm256_abs_epi8(weights);  // signed again
        for (int r = 0; r < R; r++) {  // 127 * 127 * 2 does not saturate 16 bits
          __m256i products = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(four(x[r].data + g * SPAN + i), weights));
          s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(products, ones));
        }
      }
      for (int r = 0; r < R; r++) std::memcpy(reinterpret_cast<char*>(sums[r]) + 32 * quarter, &s[r], 32);
    }
#else
    for (int r = 0; r < R; r++) {
      int32_t rows[TILE];
      std::fill(rows, rows + TILE, x[r].offset[g]);
      for (int i = 0; i < SPAN; i += 4)
        for (int row = 0; row < TILE; row++)
          for (int c = 0; c < 4; c++) rows[row] += int32_t(w[TILE * i + 4 * row + c]) * x[r].data[g * SPAN + i + c];
      std::memcpy(sums[r], rows, sizeof rows);
    }
#endif
    for (int r = 0; r < R; r++)
      for (int half = 0; half < 2; half++)
        out[r][half] = fma(__builtin_convertvector(sums[r][half], Floats), all(x[r].scale[g]), out[r][half]);
  }
}

// The same for 4 bits: 512 bytes have 32 columns of 32 rows; the lower halves of each 128 bytes are four of the first 16
// columns, the upper halves four of the last 16, each weight + 8.
template <int R>
inline void multiply_int4(const uint8_t* w, const _Float16* scale, const Quantized* x, int columns, Floats (*out)[2]) {
  for (int g = 0; g < columns / GROUP; g++, w += TILE * GROUP / 2, scale += TILE) {
    Ints sums[R][2];
#if defined(__AVX512VNNI__)
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i s[R][2];
    for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(x[r].offset[g]);
    for (int i = 0; i < 16; i += 4) {
      __m512i first = _mm512_load_si512(w + TILE * i), second = _mm512_load_si512(w + TILE * i + 64);
      for (int upper = 0; upper < 2; upper++) {
        __m512i a = _mm512_and_si512(first, mask), b = _mm512_and_si512(second, mask);
        for (int r = 0; r < R; r++) {
          __m512i bytes = four(x[r].data + g * GROUP + 16 * upper + i);
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
        __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + TILE * i + 32 * quarter));
        __m256i low = _mm256_and_si256(both, mask), high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
        for (int r = 0; r < R; r++) {
          s[r] = _mm256_add_epi16(s[r], _mm256_maddubs_epi16(low, four(x[r].data + g * GROUP + i)));
          s[r] = _mm256_add_epi16(s[r], _mm256_maddubs_epi16(high, four(x[r].data + g * GROUP + 16 + i)));
        }
      }
      for (int r = 0; r < R; r++) {
        __m256i wide = _mm256_add_epi32(_mm256_madd_epi16(s[r], ones), _mm256_set1_epi32(x[r].offset[g]));
        std::memcpy(reinterpret_cast<char*>(sums[r]) + 32 * quarter, &wide, 32);
      }
    }
#else
    for (int r = 0; r < R; r++) {
      const int8_t* bytes = x[r].data + g * GROUP;
      int32_t rows[TILE];
      std::fill(rows, rows + TILE, x[r].offset[g]);
      for (int i = 0; i < 16; i += 4)
        for (int row = 0; row < TILE; row++)
          for (int c = 0; c < 4; c++) {
            int32_t both = w[TILE * i + 4 * row + c];
            rows[row] += (both & 15) * bytes[i + c] + (both >> 4) * bytes[16 + i + c];
          }
      std::memcpy(sums[r], rows, sizeof rows);
    }
#endif
    for (int half = 0; half < 2; half++) {
      Floats scales = load(scale + half * LANES);
      for (int r = 0; r < R; r++)
        out[r][half] =
            fma(__builtin_convertvector(sums[r][half], Floats), scales * x[r].scale[g * GROUP / SPAN], out[r][half]);
    }
  }
}

// 32 numbers' products, added up in 16 sums.
inline Floats add_products(const float* a, const float* b, Floats s) {
  return fma(load(a + LANES), load(b + LANES), fma(load(a), load(b), s));
}
inline Floats add_products(const uint16_t* a, const uint16_t* b, Floats s) {
#if defined(__AVX512BF16__)
  return Floats(_mm512_dpbf16_ps(__m512(s), __m512bh(_mm512_loadu_si512(a)), __m512bh(_mm512_loadu_si512(b))));
#else
  return fma(load(a + LANES), load(b + LANES), fma(load(a), load(b), s));
#endif
}

// W rows of weights, float32 or bfloat16, with R rows of activations of the same type: out[row of weights + TILE * r]. One
// row of weights after the other: to read from several places at once is slower than the arithmetic that it would save.
template <int R, int W, typename N>
inline void multiply_plain(const N* w, const N* x, int columns, float* out) {
  Floats v[LANES]{};
  int whole = columns / (2 * LANES) * 2 * LANES, rest = columns - whole;
  for (int j = 0; j < W; j++, w += columns) {
    Floats s[R]{};
    for (int i = 0; i < whole; i += 2 * LANES)
      for (int r = 0; r < R; r++) s[r] = add_products(w + i, x + r * columns + i, s[r]);
    for (int r = 0; r < R; r++) {
      if (rest) {
        N a[2 * LANES]{}, b[2 * LANES]{};
        std::copy_n(w + whole, rest, a);
        std::copy_n(x + r * columns + whole, rest, b);
        s[r] = add_products(a, b, s[r]);
      }
      v[r * W + j] = s[r];
    }
  }
  float y[LANES];
  save(y, sums(v));
  for (int r = 0; r < R; r++) std::copy_n(y + r * W, W, out + TILE * r);
}

}  // namespace
