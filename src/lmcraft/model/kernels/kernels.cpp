// The compiled parts of training in float32 on a CPU. Several threads call a function at the same time with the same argument.
#include "products.h"
#include "rms_norm.h"
#include "swiglu.h"

// Computes parts of a product until none is left; several threads call it at the same time.
extern "C" void multiply(Product* product) {
  const Product& p = *product;
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
