// Attention of the rows of a prompt, as products with panels of keys and of values. The sums of a query have the order of
// attention.h.
#pragma once

#include "attention.h"

namespace {

// Queries q to q + ROWS_PER_BLOCK, `stride` numbers apart; the last one again after the end.
inline Block block_of_floats(const float* x, int64_t stride, int q, int count) {
  Block block{};
  for (int n = 0; n < ROWS_PER_BLOCK; n++)
    block.data[n] = reinterpret_cast<const uint8_t*>(x + std::min(q + n, count - 1) * stride);
  return block;
}

// The query heads of a key-value head, for all rows of a run.
template <typename T>
inline void Decoder<T>::attend_prompt_run(const Layer& layer, Range rows, int k, Scratch& s) {
  const ModelLayout& m = model_;
  int D = m.head_dim, group = m.heads / m.kv_heads, count = (rows.end - rows.begin) * group;
  int first = rows_[rows.begin]->position, start = first_visible(layer, first) / SLOTS_PER_TILE * SLOTS_PER_TILE;
  int span = rows_[rows.end - 1]->position + 1 - start;
  int stride = (span + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
  Range heads{k * group, k * group + group};
  scale_queries(layer, rows, heads, s);
  if (s.scores.size() < size_t(count) * stride) s.scores.resize(size_t(count) * stride);
  score_keys(layer, rows, k, start, span, stride, s);
  for (int q = 0; q < count; q++) {
    int position = rows_[rows.begin + q / group]->position;
    float* scores = &s.scores[size_t(q) * stride];
    s.totals[q] = softmax(layer, scores, stride, start, position, heads.begin + q % group);
  }
  int width = (padded_head_dim_ + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
  add_values(layer, rows, k, start, span, stride, width, s);
  for (int q = 0; q < count; q++) {
    float* to = &attended_[((rows.begin + q / group) * m.heads + heads.begin + q % group) * D];
    for (int d = 0; d < D; d++) to[d] = s.sums[q * width + d] / s.totals[q];
  }
}

template <typename T>
inline void Decoder<T>::score_keys(const Layer& layer, Range rows, int k, int start, int span, int stride, Scratch& s) {
  int D = model_.head_dim, group = model_.heads / model_.kv_heads, count = (rows.end - rows.begin) * group;
  float* keys = reinterpret_cast<float*>(s.panel.data());
  Panel panel{reinterpret_cast<const uint8_t*>(keys), 4 * PANEL_ROWS, nullptr};
  for (int t = 0; t < span; t += PANEL_ROWS) {
    for (int tile = t; tile < std::min(t + PANEL_ROWS, span); tile += SLOTS_PER_TILE) {
      const T* from = key_tile(layer, rows_[rows.begin]->blocks, k, start + tile);
      for (int i = 0; i < D; i++) store(keys + i * PANEL_ROWS + tile - t, load(from + i * SLOTS_PER_TILE));
    }
    int sees = std::max(0, start + t - rows_[rows.begin]->position) * group;  // the first query that sees the first key
    for (int q = sees; q < count; q += ROWS_PER_BLOCK) {
      PanelSums sums{};
      multiply_dense_panel<float>(panel, block_of_floats(s.queries.data(), D, q, count), D, sums);
      for (int j = 0; j < std::min(ROWS_PER_BLOCK, count - q); j++)
        std::memcpy(&s.scores[size_t(q + j) * stride + t], sums[j], sizeof sums[j]);
    }
  }
}

// The sums of weight * value of each query, `width` numbers each.
template <typename T>
inline void Decoder<T>::add_values(const Layer& layer, Range rows, int k, int start, int span, int stride, int width,
                                   Scratch& s) {
  int group = model_.heads / model_.kv_heads, count = (rows.end - rows.begin) * group;
  std::fill_n(s.sums.begin(), count * width, 0.0f);
  for (int t = 0; t < span; t += VALUES_PER_PANEL) {
    int values = std::min(VALUES_PER_PANEL, span - t);
    for (int v = 0; v < values; v++) {
      const T* from = value_row(layer, rows_[rows.begin]->blocks, k, start + t + v);
      for (int i = 0; i < padded_head_dim_; i += FLOATS_PER_VECTOR) store(&s.values[v * width + i], load(from + i));
    }
    int sees = std::max(0, start + t - rows_[rows.begin]->position) * group;
    for (int i = 0; i < width; i += PANEL_ROWS) {
      Panel panel{reinterpret_cast<const uint8_t*>(&s.values[i]), 4 * width, nullptr};
      for (int q = sees; q < count; q += ROWS_PER_BLOCK) {
        PanelSums sums;
        int last = std::min(ROWS_PER_BLOCK, count - q) - 1;
        for (int j = 0; j < ROWS_PER_BLOCK; j++)
          std::memcpy(sums[j], &s.sums[(q + std::min(j, last)) * width + i], sizeof sums[j]);
        multiply_dense_panel<float>(panel, block_of_floats(&s.scores[t], stride, q, count), values, sums);
        for (int j = 0; j <= last; j++) std::memcpy(&s.sums[(q + j) * width + i], sums[j], sizeof sums[j]);
      }
    }
  }
}

}  // namespace
