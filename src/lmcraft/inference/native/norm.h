// RMSNorm and LayerNorm of one row.
#pragma once

#include <cmath>

#include "vectors.h"

namespace {

void normalize(const Norm& norm, float eps, const float* x, int n, float* out) {
  if (norm.type == NO_NORM) {
    if (out != x) std::memcpy(out, x, n * sizeof(float));
    return;
  }
  int i = 0;
  float mean = 0, squares = 0;
  Floats sums{};
  if (norm.type == LAYERNORM) {
    for (; i + FLOATS_PER_VECTOR <= n; i += FLOATS_PER_VECTOR) sums = sums + load(x + i);
    mean = sum(sums);
    for (; i < n; i++) mean += x[i];
    mean /= float(n);
  }
  sums = Floats{};
  for (i = 0; i + FLOATS_PER_VECTOR <= n; i += FLOATS_PER_VECTOR) {
    Floats difference = load(x + i) - broadcast(mean);
    sums = fma(difference, difference, sums);
  }
  squares = sum(sums);
  for (; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
  float scale = 1 / std::sqrt(squares / float(n) + eps);
  for (i = 0; i < n; i++) out[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
}

}  // namespace
