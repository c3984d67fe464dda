// silu(gate) * up, and its gradients.
#pragma once

#include "registers.h"

namespace {

struct SwiGlu {
  const float *gate, *up, *grad;
  float *out, *grad_up;  // the output or gate's gradient; up's gradient
  int64_t count;         // a multiple of LANES
  std::atomic<int32_t> next_part;
};

inline Register sigmoid(Register x) { return 1.0f / (1.0f + exponential(-x)); }

inline void multiply_gated(const SwiGlu& s, int64_t i) {
  Register gate = load(s.gate + i);
  store(s.out + i, gate * sigmoid(gate) * load(s.up + i));
}

inline void gated_gradients(const SwiGlu& s, int64_t i) {
  Register gate = load(s.gate + i), share = sigmoid(gate), grad = load(s.grad + i);
  store(s.grad_up + i, grad * gate * share);
  store(s.out + i, grad * load(s.up + i) * share * (1.0f + gate * (1.0f - share)));
}

}  // namespace
