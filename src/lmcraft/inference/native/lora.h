// Adapters: row_scale * W x + B A x, different for each row.
#pragma once

#include "decoder.h"

namespace {

template <typename T>
inline const LoraDelta* Decoder<T>::delta_of(const Matrix& m, int r) const {
  const LoraDelta* deltas = m.number < 0 ? nullptr : rows_[r]->deltas;
  return deltas && deltas[m.number].rank ? &deltas[m.number] : nullptr;
}

// A x of each row's adapter.
template <typename T>
inline void Decoder<T>::multiply_lora_a(const Matrix& m, const float* input, Range rows, Inputs& in) {
  for (int r = rows.begin; r < rows.end; r++) {
    const LoraDelta* delta = delta_of(m, r);
    in.low_rank[r].resize(delta ? (delta->rank + FLOATS_PER_VECTOR - 1) / FLOATS_PER_VECTOR * FLOATS_PER_VECTOR : 0);
    for (int k = 0; k < int(in.low_rank[r].size()); k += FLOATS_PER_VECTOR) {
      float y[1][ROWS_PER_TILE];
      multiply_dense(delta->a + int64_t(k) * m.columns, FLOATS_PER_VECTOR, input + r * m.columns, 0, 1, m.columns, y);
      std::copy_n(y[0], FLOATS_PER_VECTOR, &in.low_rank[r][k]);
    }
  }
}

// Turns 16 numbers of W x, from row i on, into row_scale * W x + B A x.
inline void add_delta(const LoraDelta& delta, const float* low_rank, int i, float* y) {
  Floats sum = load(y) * load(delta.row_scale + i);
  for (int k = 0; k < delta.rank; k++)
    sum = fma(broadcast(low_rank[k]), load(delta.b + int64_t(k) * delta.padded_rows + i), sum);
  store(y, sum);
}

}  // namespace
