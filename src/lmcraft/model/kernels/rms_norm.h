// RMSNorm, x / sqrt(mean(x^2) + eps) * weight, and its gradients.
#pragma once

#include <cmath>

#include "registers.h"

namespace {

struct Norm {
  const float *x, *weight, *grad;
  float *scale, *out, *grad_weight;  // one scale per row; the output or x's gradient; PARTS rows of sums
  int64_t rows, width;               // a multiple of LANES
  float eps;
  std::atomic<int32_t> next_part;
};

inline void normalize(const Norm& norm, int64_t row) {
  const float* x = norm.x + row * norm.width;
  float* out = norm.out + row * norm.width;
  Register squares{};
  for (int64_t i = 0; i < norm.width; i += LANES) squares += load(x + i) * load(x + i);
  float scale = norm.scale[row] = 1 / std::sqrt(sum(squares) / norm.width + norm.eps);
  for (int64_t i = 0; i < norm.width; i += LANES) store(out + i, load(x + i) * scale * load(norm.weight + i));
}

// With n = x * scale and h = grad * weight: grad_x = scale * (h - n mean(h n)); adds grad * n to grad_weight.
inline void add_norm_gradients(const Norm& norm, int64_t row, float* grad_weight) {
  const float *x = norm.x + row * norm.width, *grad = norm.grad + row * norm.width, scale = norm.scale[row];
  float* out = norm.out + row * norm.width;
  Register products{};
  for (int64_t i = 0; i < norm.width; i += LANES) {
    Register product = load(grad + i) * load(x + i) * scale;
    store(grad_weight + i, load(grad_weight + i) + product);
    products += product * load(norm.weight + i);
  }
  float along = sum(products) / norm.width * scale;
  for (int64_t i = 0; i < norm.width; i += LANES)
    store(out + i, (load(grad + i) * load(norm.weight + i) - load(x + i) * along) * scale);
}

}  // namespace
