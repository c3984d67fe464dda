// Causal attention, softmax(scale Q K^T + mask) V, and its gradients. The scores of a block of queries exist only while they
// are in the cache: the backward pass computes them again from one number per query (arXiv 2205.14135, algorithms 1 and 4).
#pragma once

#include <cmath>
#include <vector>

#include "products.h"

namespace {

struct Attention {
  float *q, *k, *v, *y;                  // (batch, tokens, heads or kv_heads, head_dim)
  float *grad_y, *grad_q, *grad_k, *grad_v;
  const float* mask;                     // (1 or batch, tokens, tokens), added to the scores
  float* log_sums;                       // (batch, heads, tokens): log(sum(exp(score))) of each query
  int64_t batch, tokens, heads, kv_heads, head_dim, masks;  // tokens is a multiple of LANES
  float scale;
  std::atomic<int32_t> next_part;
};

constexpr int64_t QUERIES = A_ROWS;  // of a block

// c = a b, or c += a b.
inline void multiply_block(Matrix a, Matrix b, Matrix c, int64_t rows, int64_t columns, int64_t depth, bool accumulate = false) {
  Product product{a, b, c, rows, columns, depth, accumulate, false, 1, 0};
  multiply_part(product, 0, rows, 0, columns);
}

inline Matrix transposed(Matrix x) { return {x.data, x.column_stride, x.row_stride}; }

// A block of queries of one head; `keys` are those up to the last query.
struct QueryBlock {
  const Attention& attention;
  int64_t row, head, first, queries, keys;

  Matrix of_queries(float* x) const {
    const Attention& a = attention;
    return {x + ((row * a.tokens + first) * a.heads + head) * a.head_dim, a.heads * a.head_dim, 1};
  }
  Matrix of_keys(float* x) const {
    const Attention& a = attention;
    int64_t kv_head = head / (a.heads / a.kv_heads);
    return {x + (row * a.tokens * a.kv_heads + kv_head) * a.head_dim, a.kv_heads * a.head_dim, 1};
  }
  const float* mask(int64_t query) const { return attention.mask + ((attention.masks > 1 ? row : 0) * attention.tokens + first + query) * attention.tokens; }
  float& log_sum(int64_t query) const { return attention.log_sums[(row * attention.heads + head) * attention.tokens + first + query]; }
};

// e^x, 0 below -87.
inline Register weight_of(Register x) { return x < -87.0f ? Register{} : exponential(x); }

inline void attend_block(const QueryBlock& block, float* scores) {
  const Attention& a = block.attention;
  const int64_t stride = a.tokens;
  multiply_block(block.of_queries(a.q), transposed(block.of_keys(a.k)), {scores, stride, 1}, block.queries, block.keys, a.head_dim);
  for (int64_t query = 0; query < block.queries; query++) {
    float* row = scores + query * stride;
    const float* mask = block.mask(query);
    Register highest = repeat(-INFINITY), total{};
    for (int64_t i = 0; i < block.keys; i += LANES) {
      Register score = load(row + i) * a.scale + load(mask + i);
      store(row + i, score);
      highest = score > highest ? score : highest;
    }
    float most = -INFINITY;
    for (int lane = 0; lane < LANES; lane++) most = std::max(most, highest[lane]);
    for (int64_t i = 0; i < block.keys; i += LANES) {
      Register weight = weight_of(load(row + i) - most);
      store(row + i, weight);
      total += weight;
    }
    float share = 1 / sum(total);
    for (int64_t i = 0; i < block.keys; i += LANES) store(row + i, load(row + i) * share);
    block.log_sum(query) = most - std::log(share);
  }
  multiply_block({scores, stride, 1}, block.of_keys(a.v), block.of_queries(a.y), block.queries, a.head_dim, block.keys);
}

// With weights p = softmax(s) and g the gradient of y: v's gradient is p^T g, that of s is p (g v^T - sum(g y)).
inline void attention_gradients(const QueryBlock& block, float* scores, float* grad_scores, bool accumulate) {
  const Attention& a = block.attention;
  const int64_t stride = a.tokens, queries = block.queries, keys = block.keys, width = a.head_dim;
  Matrix p{scores, stride, 1}, grad_p{grad_scores, stride, 1}, grad_y = block.of_queries(a.grad_y), y = block.of_queries(a.y);
  multiply_block(block.of_queries(a.q), transposed(block.of_keys(a.k)), p, queries, keys, width);
  multiply_block(grad_y, transposed(block.of_keys(a.v)), grad_p, queries, keys, width);
  for (int64_t query = 0; query < queries; query++) {
    float *row = scores + query * stride, *grad = grad_scores + query * stride, along = 0, log_sum = block.log_sum(query);
    const float* mask = block.mask(query);
    for (int64_t i = 0; i < width; i++) along += *grad_y.at(query, i) * *y.at(query, i);
    for (int64_t i = 0; i < keys; i += LANES) {
      Register weight = weight_of(load(row + i) * a.scale + load(mask + i) - log_sum);
      store(row + i, weight);
      store(grad + i, weight * (load(grad + i) - along) * a.scale);
    }
  }
  multiply_block(grad_p, block.of_keys(a.k), block.of_queries(a.grad_q), queries, width, keys);
  multiply_block(transposed(p), grad_y, block.of_keys(a.grad_v), keys, width, queries, accumulate);
  multiply_block(transposed(grad_p), block.of_queries(a.q), block.of_keys(a.grad_k), keys, width, queries, accumulate);
}

// Calls compute(block, is_first, buffers) for the blocks of queries, the last ones first, so that the first call covers all keys.
template <typename Compute>
inline void attend_parts(Attention& a, int buffers, Compute compute) {
  thread_local std::vector<float> memory;
  memory.resize(buffers * QUERIES * a.tokens);
  const int64_t blocks = (a.tokens + QUERIES - 1) / QUERIES, size = part_size(a.tokens, blocks, LANES), group = a.heads / a.kv_heads;
  for (int64_t part; (part = a.next_part.fetch_add(1)) < a.batch * a.kv_heads;) {
    int64_t row = part / a.kv_heads, kv_head = part % a.kv_heads;
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
      for (int64_t first = (a.tokens - 1) / size * size; first >= 0; first -= size) {
        int64_t queries = std::min(size, a.tokens - first);
        bool is_first = head == kv_head * group && first + queries == a.tokens;
        compute(QueryBlock{a, row, head, first, queries, first + queries}, is_first, memory.data());
      }
  }
}

}  // namespace
