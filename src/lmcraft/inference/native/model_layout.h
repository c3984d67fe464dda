// The plan of a model, filled in by Python through ctypes: plain structures of pointers and sizes, never owned here.
#pragma once

#include <cstdint>

namespace {

constexpr int MOST_ROWS = 64;  // of a step
constexpr int LANES = 16;      // numbers of a vector, places of the cache whose keys lie together
constexpr int TILE = 32;       // rows of weights that lie together
constexpr int GROUP = 32;      // columns of weights with one scale in int4
constexpr int SPAN = 64;       // activations with one scale
constexpr int RUN = 16;        // rows of one sequence that look at its keys and values together

enum Kind : int32_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3, FLOAT16 = 4 };
enum Activation : int32_t { SWIGLU = 0, GEGLU_TANH = 1, GELU = 2, GELU_TANH = 3, RELU2 = 4 };
enum NormKind : int32_t { NO_NORM = 0, RMSNORM = 1, LAYERNORM = 2 };

}  // namespace

extern "C" {

struct Matrix {          // rows x columns
  const void* data;      // float32, bfloat16: row after row; int8, int4: tiles of 32 rows, see multiply_int8 and _int4
  const void* scale;     // int8: a float32 for each row; int4: a float16 for each group of each row, 32 rows together
  const float* bias;     // or null; 16 rows at a time can be read
  int32_t kind, rows, columns, padded;  // padded: columns that are stored
  int32_t number;        // which of the blocks' matrices it is, for `Row::changes`; -1: of none
};

struct Norm {
  const float* weight;   // Gemma's with its one added
  const float* bias;     // or null
  int32_t kind;
};

struct Layer {
  Norm attention_norm, attention_post_norm, feed_forward_norm, feed_forward_post_norm;
  const float *q_norm, *k_norm;  // or null
  Matrix qkv, output, gate, up, down;  // without a gate, up is in its place
  int32_t window;        // 0: sees all
  int32_t rotary;        // which of the two tables
};

struct Plan {
  int32_t width, heads, kv_heads, head_dim, rotary_dim, inner, vocabulary, layers;
  int32_t activation, parallel_residual, block, embedding_kind;
  float norm_eps, embedding_scale, attention_scale, reserved;
  const void* embedding;       // V x C
  int64_t embedding_stride;    // bytes
  const float* positions;      // learned, or null
  const float* rotary[2][2];   // cosines and signed sines, positions x rotary_dim
  const Layer* layer;
  Norm norm;
  Matrix head;
  void* keys;                  // of the cache: layers x K x places / 16 x D x 16
  void* values;                // layers x K x places x D, up to the next multiple of 16
  int64_t places;
  int32_t cache_kind;          // float32 or float16
  int32_t most_threads;
};

struct Change {          // what an adapter makes of W x: share * W x + B A x
  const float* a;        // rank x columns, and zeros up to a multiple of 16 rows
  const float* b;        // B transposed: rank x padded
  const float* share;    // padded
  int32_t rank, padded;  // rank 0: nothing is changed; padded: rows of W, up to a multiple of 16
};

struct Row {
  int32_t token, position;
  const int32_t* blocks;       // of the sequence's cache, in order
  float* logits;               // V, or null where they are not wanted
  const Change* changes;       // of each matrix in the blocks, by its number, or null
  int32_t best;                // given back where they are: the likeliest token, and the logarithm of the sum of e^logits
  float log_sum;
};
}
