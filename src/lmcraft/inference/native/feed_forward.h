// The first half of the feed-forward layer, up to the input of its down projection.
#pragma once

#include "decoder.h"
#include "matmul.h"

namespace {

Floats activate(int32_t activation, Floats x) {
  const Floats one = broadcast(1.0f);
  switch (activation) {
    case SILU:
      return x / (one + exponential(Floats{} - x));
    case GELU:
      float y[FLOATS_PER_VECTOR];
      store(y, x);
      for (float& value : y) value = 0.5f * value * (1 + std::erf(value * 0.70710678f));
      return load(y);
    case RELU:
      return select(x > Floats{}, x, Floats{});
    case RELU2:
      return select(x > Floats{}, x * x, Floats{});
    default:  // GELU with tanh(y) = 1 - 2 / (1 + exp(2y))
      return x - x / (one + exponential(broadcast(1.59576912f) * (x + broadcast(0.044715f) * x * x * x)));
  }
}

// xIELU (arXiv 2411.13010, eq. 13).
float xielu(float x, const Layer& layer) {
  float part = x > 0 ? layer.xielu_above * x * x : (std::expm1(std::min(x, layer.xielu_eps)) - x) * layer.xielu_below;
  return part + layer.xielu_beta * x;
}

template <typename T>
inline void Decoder<T>::feed_forward(const Layer& layer, Scratch& s) {
  const ModelLayout& m = model_;
  const float* input = normalize_rows(layer.feed_forward_norm, s);
  convert_input(layer.gate, input, input_rows(s), inputs(s));
  multiply(layer.gate, input, s, [&](int r, int i, float* y, int n) {
    if (m.activation == XIELU) {
      for (int j = 0; j < n; j++) y[j] = xielu(y[j], layer);
    } else {
      store(y, activate(m.activation, load(y)));
    }
    store_partial(y, n, &inner_[r * m.inner + i]);
  });
  if (!layer.up.rows) return;
  multiply(layer.up, input, s, [&](int r, int i, const float* y, int n) {
    for (int j = 0; j < n; j++) inner_[r * m.inner + i + j] *= y[j];
  });
}

}  // namespace
