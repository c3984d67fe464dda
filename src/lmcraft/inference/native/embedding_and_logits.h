// The two ends of a step: from tokens to x, and from x to logits.
#pragma once

#include "decoder.h"

namespace {

template <typename T>
inline void Decoder<T>::embed(Range columns) {
  const ModelLayout& m = model_;
  for (int r = 0; r < count_; r++) {
    const char* line = static_cast<const char*>(m.embedding) + int64_t(rows_[r]->token) * m.embedding_stride_bytes;
    for (int i = columns.begin; i < columns.end; i++) {
      float value;
      if (m.embedding_type == BFLOAT16) {
        value = from_bf16(reinterpret_cast<const uint16_t*>(line)[i]);
      } else {
        value = reinterpret_cast<const float*>(line)[i];
      }
      if (m.position_embedding) value += m.position_embedding[int64_t(rows_[r]->position) * m.width + i];
      x_[r * m.width + i] = value * m.embedding_scale;
    }
  }
}

// Logits of the rows that need them only: in a chunk of a prompt, that is the last row.
template <typename T>
inline void Decoder<T>::output_logits(Scratch& s, int thread) {
  const ModelLayout& m = model_;
  Row* selected[MAX_ROWS_PER_STEP];
  int count = 0;
  for (int r = 0; r < count_; r++) {
    if (!rows_[r]->logits) continue;
    float* row = &s.inputs.floats[count * m.width];
    normalize(m.norm, m.norm_eps, &x_[r * m.width], m.width, row);
    if (m.head_scale != 1)
      for (int i = 0; i < m.width; i++) row[i] *= m.head_scale;
    selected[count++] = rows_[r];
  }
  const float* input = s.inputs.floats.data();
  convert_input(m.head, input, {0, count}, s.inputs);
  multiply_few(m.head, input, count, s.inputs, range(m.vocabulary, ROWS_PER_TILE, thread),
               [&](int r, int i, float* y, int n) {
                 if (m.logit_softcap) store(y, soft_cap(load(y), m.logit_softcap));
                 store_partial(y, n, selected[r]->logits + i);
               });
  barrier_.wait();
  Range rows = range(count, 1, thread);
  for (int r = rows.begin; r < rows.end; r++) set_argmax_and_logsumexp(*selected[r]);
}

template <typename T>
inline void Decoder<T>::set_argmax_and_logsumexp(Row& row) const {
  int V = model_.vocabulary, whole = V / FLOATS_PER_VECTOR * FLOATS_PER_VECTOR;
  const float* logits = row.logits;
  Floats tops = broadcast(-INFINITY), sums{};
  for (int i = 0; i < whole; i += FLOATS_PER_VECTOR) tops = maximum(tops, load(logits + i));
  float top = reduce_max(tops);
  for (int i = whole; i < V; i++) top = std::max(top, logits[i]);
  for (int i = 0; i < whole; i += FLOATS_PER_VECTOR) sums = sums + exponential(load(logits + i) - broadcast(top));
  float total = sum(sums);
  for (int i = whole; i < V; i++) total += std::exp(logits[i] - top);
  row.argmax = std::min(V - 1, int(std::find(logits, logits + V, top) - logits));  // the first of several
  row.logsumexp = top + std::log(total);
}

}  // namespace
