// The memory layout of a model, filled in by Python through ctypes (structs.py): pointers and sizes, owned by Python.
// Sizes: C width, D head width, K key-value heads, V vocabulary.
#pragma once

#include <cstdint>

namespace {

constexpr int FLOATS_PER_VECTOR = 16;
constexpr int SLOTS_PER_TILE = FLOATS_PER_VECTOR;  // tokens of the cache whose keys are interleaved
constexpr int MAX_ROWS_PER_STEP = 64;  // also of those rows of prompts that have logits
constexpr int MAX_PROMPT_ROWS_PER_STEP = 256;
constexpr int MAX_PROMPT_ROWS_PER_RUN = 32;
constexpr int VALUES_PER_PANEL = 128;  // positions whose values a run of a prompt reads together
constexpr int MAX_ROWS_PER_RUN = 16;     // rows of one request that attend to its keys and values together
constexpr int ROWS_PER_TILE = 32;        // rows of quantized weights that are interleaved
constexpr int COLUMNS_PER_GROUP = 32;    // int4 weights that share a scale
constexpr int COLUMNS_PER_SPAN = 64;     // activations that share a scale

enum NumberType : int32_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3, FLOAT16 = 4 };
enum Activation : int32_t { SILU = 0, GELU_TANH = 1, GELU = 2, RELU = 3, RELU2 = 4, XIELU = 5 };
enum NormType : int32_t { NO_NORM = 0, RMSNORM = 1, LAYERNORM = 2 };
enum NormSpan : int32_t { HEAD = 0, EACH_HEAD = 1, PROJECTION = 2 };  // of the QK norm, see TransformerConfig.qk_norm_over

}  // namespace

extern "C" {

struct Matrix {          // rows x columns
  const void* data;      // float32, bfloat16: row after row; int8, int4: tiles of 32 rows, see multiply_int8 and _int4
  const void* scale;     // int8: a float32 per row; int4: a float16 per group of each row, 32 rows interleaved
  const void* shift;     // int4: added to the weights of a group, laid out as the scales; or null
  const float* bias;     // or null; padded to a multiple of 32 rows
  int32_t type, rows, columns, padded_columns;
  int32_t number;        // index into Row::deltas; -1: a matrix without deltas
};

struct Norm {
  const float* weight;   // Gemma's includes the added 1
  const float* bias;     // or null
  int32_t type;
};

struct Layer {
  Norm attention_norm, attention_post_norm, feed_forward_norm, feed_forward_post_norm;
  Norm attention_sub_norm, feed_forward_sub_norm;  // of the inputs of the output and the down projection
  const float *q_norm, *k_norm;  // or null
  Matrix qkv, output, gate, up, down;  // without gating, `gate` holds the up projection, and `up` nothing
  int32_t window;        // of sliding attention; 0: full attention
  int32_t rotary_table;  // which of the two; -1: no rotary positions
  int32_t scales_queries;  // by their positions
  float xielu_above, xielu_below, xielu_beta, xielu_eps;  // coefficients of its activation
  const float *q_norm_bias, *k_norm_bias;  // or null
  const float* sinks;    // a score of each head without a key, or null
  void* keys;            // K x slots / 16 x D x 16
  void* values;          // K x slots x D rounded up to a multiple of 16
};

struct ModelLayout {
  int32_t width, heads, kv_heads, head_dim, rotary_dim, inner, vocabulary, num_layers;
  int32_t activation, parallel_residual, block_tokens, embedding_type;
  int32_t qk_norm_type, qk_norm_span, qk_norm_after_rotary;
  int32_t norms_sums;               // norms the sum of a sub-layer's output and x
  int32_t query_scaling_length, query_scaling_offset;
  float embedding_scale, attention_scale, residual_scale, head_scale;
  float norm_eps, query_scaling_beta;
  float score_softcap, logit_softcap, clip;  // 0: none; the clip is of queries, keys and values
  const float* alibi_slopes;        // of each head, or null
  Norm embedding_norm;
  const void* embedding;            // V x C
  int64_t embedding_stride_bytes;
  const float* position_embedding;  // learned, or null
  const float* rotary[2][2];        // of each table the cosines and the signed sines, positions x rotary_dim
  const Layer* layers;
  Norm norm;
  Matrix head;
  int64_t num_slots;
  int32_t cache_type;               // FLOAT32 or FLOAT16
  int32_t max_threads;
};

struct LoraDelta {             // an adapter turns W x into row_scale * W x + B A x
  const float* a;              // rank x columns, with zero rows up to a multiple of 16
  const float* b;              // B transposed: rank x padded_rows
  const float* row_scale;      // padded_rows
  int32_t rank, padded_rows;   // rank 0: no change; padded_rows: rows of W rounded up to a multiple of 16
};

struct Row {                   // one token of one request
  int32_t token, position;
  const int32_t* blocks;       // of the request's cache, in order
  float* logits;               // V numbers, or null if they are not needed
  const LoraDelta* deltas;     // one for each matrix of the layers, by Matrix::number; or null
  int32_t argmax;              // set where there are logits: the most likely token ...
  float logsumexp;             // ... and log(sum(exp(logits)))
};
}
