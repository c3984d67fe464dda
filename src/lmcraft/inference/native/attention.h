// Attention over the paged cache of keys and values.
#pragma once

#include "decoder.h"
#include "matmul.h"

namespace {

void rotate(float* x, const float* cosines, const float* sines, int n) {
  int half = n / 2;
  for (int i = 0; i < half; i++) {
    float a = x[i], b = x[i + half];
    x[i] = a * cosines[i] + b * sines[i];  // the sines of the first half include the minus
    x[i + half] = b * cosines[i + half] + a * sines[i + half];
  }
}

inline float convert(float value, float) { return value; }
inline Half convert(float value, Half) { return Half(std::clamp(value, -65504.0f, 65504.0f)); }

// The first position that a token at `position` attends to.
inline int first_visible(const Layer& layer, int position) {
  return layer.window ? std::max(0, position - layer.window + 1) : 0;
}

// Replaces scores by exp(score - maximum) for positions `first` to `last`, by zeros elsewhere; returns their sum, with that of
// the sink, which has a score, but no position.
inline float softmax_numerators(float* scores, int span, int first, int last, const float* sink) {
  const Floats lowest = broadcast(-INFINITY);
  Ints lane;
  for (int i = 0; i < FLOATS_PER_VECTOR; i++) std::memcpy(reinterpret_cast<int32_t*>(&lane) + i, &i, sizeof i);
  Floats tops = lowest, total{};
  for (int t = 0; t < span; t += FLOATS_PER_VECTOR) {
    Ints visible = (lane >= broadcast(first - t)) & (lane <= broadcast(last - t));
    Floats score = select(visible, load(scores + t), lowest);
    store(scores + t, score);
    tops = maximum(tops, score);
  }
  if (sink) tops = maximum(tops, broadcast(*sink));
  tops = broadcast(reduce_max(tops));
  for (int t = 0; t < span; t += FLOATS_PER_VECTOR) {
    Floats score = load(scores + t), weight = exponential(score - tops);
    weight = select(score == lowest, Floats{}, weight);
    store(scores + t, weight);
    total = total + weight;
  }
  return sink ? sum(total) + sum(exponential(broadcast(*sink) - tops)) / FLOATS_PER_VECTOR : sum(total);
}

template <typename T>
inline void Decoder<T>::project_qkv(const Layer& layer, Scratch& s) {
  const float* input = normalize_rows(layer.attention_norm, s);
  convert_input(layer.qkv, input, input_rows(s), inputs(s));
  int stride = layer.qkv.rows;
  multiply(layer.qkv, input, s, [&](int r, int i, const float* y, int n) { store_partial(y, n, &qkv_[r * stride + i]); });
}

// The norm over a projection, which needs whole rows; then the clipping.
template <typename T>
inline void Decoder<T>::norm_and_clip_projections(const Layer& layer, int thread) {
  const ModelLayout& m = model_;
  int queries = m.heads * m.head_dim, keys = m.kv_heads * m.head_dim;
  Range rows = range(count_, 1, thread);
  for (int r = rows.begin; r < rows.end; r++) {
    float* row = &qkv_[int64_t(r) * layer.qkv.rows];
    if (m.qk_norm_span == PROJECTION && layer.q_norm) {
      normalize({layer.q_norm, layer.q_norm_bias, m.qk_norm_type}, m.norm_eps, row, queries, row);
      normalize({layer.k_norm, layer.k_norm_bias, m.qk_norm_type}, m.norm_eps, row + queries, keys, row + queries);
    }
    if (m.clip)
      for (int i = 0; i < layer.qkv.rows; i++) row[i] = std::clamp(row[i], -m.clip, m.clip);
  }
  barrier_.wait();
}

template <typename T>
inline int64_t Decoder<T>::slot(const int32_t* blocks, int position) const {
  return int64_t(blocks[position / model_.block_tokens]) * model_.block_tokens + position % model_.block_tokens;
}

// The keys of the 16 tokens around `position`: D times 16 numbers.
template <typename T>
inline T* Decoder<T>::key_tile(const Layer& layer, const int32_t* blocks, int kv_head, int position) const {
  const ModelLayout& m = model_;
  int64_t tile = kv_head * (m.num_slots / SLOTS_PER_TILE) + slot(blocks, position) / SLOTS_PER_TILE;
  return static_cast<T*>(layer.keys) + tile * SLOTS_PER_TILE * m.head_dim;
}

template <typename T>
inline T* Decoder<T>::value_row(const Layer& layer, const int32_t* blocks, int kv_head, int position) const {
  int64_t row = kv_head * model_.num_slots + slot(blocks, position);
  return static_cast<T*>(layer.values) + row * padded_head_dim_;
}

template <typename T>
inline void Decoder<T>::norm_and_rotate(const Layer& layer, Norm norm, int head, int position, float* x) const {
  const ModelLayout& m = model_;
  if (!m.qk_norm_after_rotary) norm_head(norm, head, x);
  if (m.rotary_dim && layer.rotary_table >= 0) {
    int64_t offset = int64_t(position) * m.rotary_dim;
    rotate(x, m.rotary[layer.rotary_table][0] + offset, m.rotary[layer.rotary_table][1] + offset, m.rotary_dim);
  }
  if (m.qk_norm_after_rotary) norm_head(norm, head, x);
}

template <typename T>
inline void Decoder<T>::norm_head(Norm norm, int head, float* x) const {
  const ModelLayout& m = model_;
  if (!norm.weight || m.qk_norm_span == PROJECTION) return;
  if (m.qk_norm_span == EACH_HEAD) norm.weight += head * m.head_dim;
  normalize(norm, m.norm_eps, x, m.head_dim, x);
}

// Soft-capping, and ALiBi's bias, which falls with the distance of the keys from `start` on.
template <typename T>
inline void Decoder<T>::change_scores(float* scores, int span, int start, int position, int head) const {
  const ModelLayout& m = model_;
  for (int t = 0; t < span; t++) {
    if (m.score_softcap && t % FLOATS_PER_VECTOR == 0) store(scores + t, soft_cap(load(scores + t), m.score_softcap));
    if (m.alibi_slopes) scores[t] += m.alibi_slopes[head] * float(start + t - position);
  }
}

// `softmax_numerators` of a row's query, for keys from position `start` on.
template <typename T>
inline float Decoder<T>::softmax(const Layer& layer, float* scores, int span, int start, int position, int head) const {
  if (model_.score_softcap || model_.alibi_slopes) change_scores(scores, span, start, position, head);
  const float* sink = layer.sinks ? layer.sinks + head : nullptr;
  return softmax_numerators(scores, span, first_visible(layer, position) - start, position - start, sink);
}

// All new keys and values are stored before any row attends: rows may be consecutive tokens of one request.
template <typename T>
inline void Decoder<T>::store_keys_and_values(const Layer& layer, int thread) {
  const ModelLayout& m = model_;
  int stride = layer.qkv.rows;
  Range units = range(count_ * m.kv_heads, 1, thread);
  for (int unit = units.begin; unit < units.end; unit++) {
    int r = unit / m.kv_heads, k = unit % m.kv_heads, position = rows_[r]->position;
    float* key = &qkv_[r * stride + (m.heads + k) * m.head_dim];
    const float* value = &qkv_[r * stride + (m.heads + m.kv_heads + k) * m.head_dim];
    norm_and_rotate(layer, {layer.k_norm, layer.k_norm_bias, m.qk_norm_type}, k, position, key);
    T* key_to = key_tile(layer, rows_[r]->blocks, k, position) + position % SLOTS_PER_TILE;
    T* value_to = value_row(layer, rows_[r]->blocks, k, position);
    for (int i = 0; i < m.head_dim; i++) {
      key_to[i * SLOTS_PER_TILE] = convert(key[i], T());
      value_to[i] = convert(value[i], T());
    }
  }
}

// The query heads of one key-value head attend together, for all rows of a run.
template <typename T>
inline void Decoder<T>::attend(const Layer& layer, Scratch& s, int thread) {
  const ModelLayout& m = model_;
  int group = m.heads / m.kv_heads, pairs = int(runs_.size()) * m.kv_heads;
  if (prompt_) {
    share(pairs, s, [&](int unit) { attend_prompt_run(layer, runs_[unit / m.kv_heads], unit % m.kv_heads, s); });
    return;
  }
  int parts = std::min(group, (threads_ + pairs - 1) / pairs);  // a group is split if some threads would be idle
  Range units = range(pairs * parts, 1, thread);
  for (int unit = units.begin; unit < units.end; unit++) {
    Range heads = split_range(group, 1, unit % parts, parts);
    int pair = unit / parts, k = pair % m.kv_heads;
    attend_run(layer, runs_[pair / m.kv_heads], k, {k * group + heads.begin, k * group + heads.end}, s);
  }
}

// The queries of some heads of a run, row after row, as they are multiplied with the keys.
template <typename T>
inline void Decoder<T>::scale_queries(const Layer& layer, Range rows, Range heads, Scratch& s) {
  const ModelLayout& m = model_;
  int D = m.head_dim;
  float* to = s.queries.data();
  for (int r = rows.begin; r < rows.end; r++) {
    float scale = m.attention_scale;
    if (layer.scales_queries) {
      int steps = (rows_[r]->position + m.query_scaling_offset) / m.query_scaling_length;
      scale *= 1 + m.query_scaling_beta * std::log1p(float(steps));
    }
    for (int head = heads.begin; head < heads.end; head++, to += D) {
      float* query = &qkv_[r * layer.qkv.rows + head * D];
      norm_and_rotate(layer, {layer.q_norm, layer.q_norm_bias, m.qk_norm_type}, head, rows_[r]->position, query);
      for (int i = 0; i < D; i++) to[i] = query[i] * scale;
    }
  }
}

template <typename T>
inline void Decoder<T>::attend_run(const Layer& layer, Range rows, int k, Range heads, Scratch& s) {
  const ModelLayout& m = model_;
  int D = m.head_dim, num_heads = heads.end - heads.begin, count = (rows.end - rows.begin) * num_heads;
  int start = first_visible(layer, rows_[rows.begin]->position) / SLOTS_PER_TILE * SLOTS_PER_TILE;
  int span = (rows_[rows.end - 1]->position - start) / SLOTS_PER_TILE * SLOTS_PER_TILE + SLOTS_PER_TILE;
  const int32_t* blocks = rows_[rows.begin]->blocks;
  auto row_of = [&](int q) { return rows.begin + q / num_heads; };
  auto head_of = [&](int q) { return heads.begin + q % num_heads; };
  if (s.scores.size() < size_t(count) * span) s.scores.resize(size_t(count) * span);
  scale_queries(layer, rows, heads, s);
  for (int t = 0; t < span; t += SLOTS_PER_TILE) {
    const T* tile = key_tile(layer, blocks, k, start + t);
    for (int q = 0; q < count; q += 8) {
      dispatch<8>(count - q, [&](auto Q) {
        Floats sums[Q.value]{};
        const float* queries = &s.queries[q * D];
        for (int i = 0; i < D; i++) {
          Floats key = load(tile + i * SLOTS_PER_TILE);
          for (int j = 0; j < Q.value; j++) sums[j] = fma(broadcast(queries[j * D + i]), key, sums[j]);
        }
        for (int j = 0; j < Q.value; j++) store(&s.scores[size_t(q + j) * span + t], sums[j]);
      });
    }
  }
  for (int q = 0; q < count; q++) {
    int position = rows_[row_of(q)]->position;
    float* scores = &s.scores[size_t(q) * span];
    s.totals[q] = softmax(layer, scores, span, start, position, head_of(q));
  }
  for (int q = 0; q < count; q += 4) {
    dispatch<4>(count - q, [&](auto Q) {
      int last = rows_[row_of(q + Q.value - 1)]->position - start;
      for (int i = 0; i < D; i += 4 * FLOATS_PER_VECTOR) {
        dispatch<4>((D - i + FLOATS_PER_VECTOR - 1) / FLOATS_PER_VECTOR, [&](auto V) {
          float sums[Q.value][V.value * FLOATS_PER_VECTOR];
          weighted_values<Q.value, V.value>(&s.scores[size_t(q) * span], span, last, layer, blocks, k, start, i, sums);
          for (int j = 0; j < Q.value; j++) {
            float* to = &attended_[(row_of(q + j) * m.heads + head_of(q + j)) * D + i];
            for (int d = 0; d < std::min(V.value * FLOATS_PER_VECTOR, D - i); d++) to[d] = sums[j][d] / s.totals[q + j];
          }
        });
      }
    });
  }
}

// The sums over positions of weight * value, for Q queries and V vectors of each value, starting at its i-th number.
template <typename T>
template <int Q, int V>
inline void Decoder<T>::weighted_values(const float* weights, int span, int last, const Layer& layer,
                                        const int32_t* blocks, int kv_head, int start, int i,
                                        float (*sums)[V * FLOATS_PER_VECTOR]) const {
  Floats s[Q][V]{};
  for (int t = 0; t <= last; t += SLOTS_PER_TILE) {
    const T* value = value_row(layer, blocks, kv_head, start + t) + i;
    int end = std::min(t + SLOTS_PER_TILE, last + 1);
    for (int position = t; position < end; position++, value += padded_head_dim_) {
      Floats v[V];
      for (int j = 0; j < V; j++) v[j] = load(value + j * FLOATS_PER_VECTOR);
      for (int q = 0; q < Q; q++) {
        Floats weight = broadcast(weights[size_t(q) * span + position]);
        for (int j = 0; j < V; j++) s[q][j] = fma(weight, v[j], s[q][j]);
      }
    }
  }
  for (int q = 0; q < Q; q++)
    for (int j = 0; j < V; j++) store(&sums[q][j * FLOATS_PER_VECTOR], s[q][j]);
}

}  // namespace
