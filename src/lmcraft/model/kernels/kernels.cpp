// The compiled parts of training in float32 on a CPU. Several threads call a function at the same time with the same argument.
#include "attention.h"
#include "products.h"
#include "rms_norm.h"
#include "rotary.h"
#include "swiglu.h"

// Computes the products' rows from the diagonal on, A_ROWS at a time.
static void multiply_symmetric(Product* product) {
  const Product& p = *product;
  for (int64_t row; (row = product->next_part.fetch_add(1) * A_ROWS) < p.rows;) {
    int64_t last_row = std::min(p.rows, row + A_ROWS);
    multiply_part(p, row, last_row, row, p.columns);
    mirror_rows(p.c, row, last_row, p.columns);
  }
}

// Computes parts of a product until none is left; several threads call it at the same time.
extern "C" void multiply(Product* product) {
  const Product& p = *product;
  if (p.symmetric) return multiply_symmetric(product);
  int64_t row_parts = 1, least_cost = INT64_MAX;
  for (int64_t parts = 1; parts <= p.parts; parts++) {
    int64_t cost = p.rows / parts + p.columns / (p.parts / parts);  // each part copies its rows of A and columns of B
    if (p.parts % parts == 0 && cost < least_cost) row_parts = parts, least_cost = cost;
  }
  int64_t rows = part_size(p.rows, row_parts, ROWS), columns = part_size(p.columns, p.parts / row_parts, COLUMNS);
  for (int64_t part; (part = product->next_part.fetch_add(1)) < p.parts;) {
    int64_t row = part % row_parts * rows, column = part / row_parts * columns;
    multiply_part(p, row, std::min(p.rows, row + rows), column, std::min(p.columns, column + columns));
  }
}

extern "C" void rms_norm(Norm* norm) {
  compute_parts(norm->next_part, norm->rows, [norm](int64_t, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) normalize(*norm, row);
  });
}

extern "C" void rms_norm_backward(Norm* norm) {
  compute_parts(norm->next_part, norm->rows, [norm](int64_t part, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) add_norm_gradients(*norm, row, norm->grad_weight + part * norm->width);
  });
}

extern "C" void rotate(Rotary* rotary) {
  compute_parts(rotary->next_part, rotary->batch * rotary->tokens * rotary->heads, [rotary](int64_t, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) rotate_head(*rotary, row);
  });
}

extern "C" void swiglu(SwiGlu* s) {
  compute_parts(s->next_part, s->count / LANES, [s](int64_t, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) multiply_gated(*s, i * LANES);
  });
}

extern "C" void swiglu_backward(SwiGlu* s) {
  compute_parts(s->next_part, s->count / LANES, [s](int64_t, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) gated_gradients(*s, i * LANES);
  });
}

extern "C" void attention(Attention* attention) {
  attend_parts(*attention, 1, [](const QueryBlock& block, bool, float* scores) { attend_block(block, scores); });
}

extern "C" void attention_backward(Attention* attention) {
  attend_parts(*attention, 2, [](const QueryBlock& block, bool is_first, float* scores) {
    attention_gradients(block, scores, scores + QUERIES * block.attention.tokens, !is_first);
  });
}
