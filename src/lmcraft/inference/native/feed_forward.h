// The first half of the feed-forward layer, up to the input of its down projection.
#pragma once

#include "decoder.h"
#include "matmul.h"

namespace {

Floats activate(int32_t activation, Floats x) {
  const Floats one = broadcast(1.0f);
  switch (activation) {
    case SWIGLU:
      return x / (one + exponential(Floats{} - x));
    case GELU:
      float y[FLOATS_PER_VECTOR];
      store(y, x);
      for (float& value : y) value = 0.5f * value * (1 + std::erf(value * 0.70710678f));
      return load(y);
    case RELU2:
      return select(x > Floats{}, x * x, Floats{});
    default:  // GELU with tanh(y) = 1 - 2 / (1 + exp(2y))
      return x - x / (one + exponential(broadcast(1.59576912f) * (x + broadcast(0.044715f) * x * x * x)));
  }
}

template <typename T>
inline void Decoder<T>::feed_forward(const Layer& layer, Scratch& s) {
  const ModelLayout& m = model_;
  const float* input = normalize_rows(layer.feed_forward_norm, s);
  convert_input(layer.gate, input, input_rows(s), inputs(s));
  bool gated = m.activation == SWIGLU || m.activation == GEGLU_TANH;
  multiply(layer.gate, input, s, [&](int r, int i, float* y, int n) {
    store(y, activate(m.activation, load(y)));
    store_partial(y, n, &inner_[r * m.inner + i]);
  });
  if (!gated) return;
  multiply(layer.up, input, s, [&](int r, int i, const float* y, int n) {
    for (int j = 0; j < n; j++) inner_[r * m.inner + i + j] *= y[j];
  });
}

}  // namespace
