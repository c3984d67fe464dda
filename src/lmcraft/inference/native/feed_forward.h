// The first half of the feed-forward layer, up to the input of its down projection.
#pragma once

#include "decoder.h"
#include "matmul.h"

namespace {

Floats activate(int32_t activation, Floats x) {
  switch (activation) {
    case SWIGLU:
      return x / (1 + exponential(-x));
    case GELU:
      for (int i = 0; i < FLOATS_PER_VECTOR; i++) x[i] = 0.5f * x[i] * (1 + std::erf(x[i] * 0.70710678f));
      return x;
    case RELU2:
      return x > 0 ? x * x : Floats{};
    default:  // GELU with tanh(y) = 1 - 2 / (1 + exp(2y))
      return x - x / (1 + exponential(1.59576912f * (x + 0.044715f * x * x * x)));
  }
}

template <typename T>
inline void Decoder<T>::feed_forward(const Layer& layer, Scratch& s, int thread) {
  const ModelLayout& m = model_;
  const float* input = normalize_rows(layer.feed_forward_norm, s);
  quantize_input(layer.gate, input, count_, s);
  bool gated = m.activation == SWIGLU || m.activation == GEGLU_TANH;
  Range rows = range(m.inner, ROWS_PER_TILE, thread);
  multiply(layer.gate, input, count_, s, rows, [&](int r, int i, float* y, int n) {
    store(y, activate(m.activation, load(y)));
    store_partial(y, n, &inner_[r * m.inner + i]);
  });
  if (!gated) return;
  multiply(layer.up, input, count_, s, rows, [&](int r, int i, const float* y, int n) {
    for (int j = 0; j < n; j++) inner_[r * m.inner + i + j] *= y[j];
  });
}

}  // namespace
