// Rotary positions: the two halves of a head, (x1, x2) cos + (x2, x1) sin.
#pragma once

#include "registers.h"

namespace {

struct Rotary {
  const float *x, *cos, *sin;  // x (batch, tokens, heads, head_dim), tables (tokens, head_dim)
  float* out;
  int64_t batch, tokens, heads, head_dim;  // half of head_dim is a multiple of LANES
  float sign;                              // of the sines
  std::atomic<int32_t> next_part;
};

inline void rotate_head(const Rotary& r, int64_t row) {
  const int64_t half = r.head_dim / 2, token = row / r.heads % r.tokens;
  const float *x = r.x + row * r.head_dim, *cos = r.cos + token * r.head_dim, *sin = r.sin + token * r.head_dim;
  float* out = r.out + row * r.head_dim;
  for (int64_t i = 0; i < half; i += LANES) {
    Register first = load(x + i), second = load(x + half + i);
    store(out + i, first * load(cos + i) + second * load(sin + i) * r.sign);
    store(out + half + i, second * load(cos + half + i) + first * load(sin + half + i) * r.sign);
  }
}

}  // namespace
