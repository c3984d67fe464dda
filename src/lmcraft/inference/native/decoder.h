// The decoder: its threads, its buffers, and the order of a step. The parts of a step are in the headers named below.
// Sizes: C width, D head width, H query heads, K key-value heads, I inner width, V vocabulary, R rows.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "barrier.h"
#include "cpu.h"
#include "model_layout.h"
#include "norm.h"
#include "panels.h"

namespace {

struct Range {  // of a matrix's rows, or of other units of work
  int begin, end;
};

// The share of one thread of `count` units, cut at multiples of `unit`.
Range split_range(int count, int unit, int thread, int threads) {
  int units = (count + unit - 1) / unit;
  int begin = int(int64_t(units) * thread / threads), end = int(int64_t(units) * (thread + 1) / threads);
  return {std::min(count, begin * unit), std::min(count, end * unit)};
}

template <typename T>
struct AlignedAllocator {  // to cache lines: a load across two of them takes twice the time
  typedef T value_type;
  AlignedAllocator() = default;
  template <typename U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64))); }
  void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t(64)); }
  bool operator==(const AlignedAllocator&) const { return true; }
};
template <typename T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

struct Inputs {  // of a product: rows in the types that matrices are multiplied in
  Inputs(int rows, int longest) : floats(rows * longest), halves(rows * (longest + 1)), x(rows), low_rank(rows) {
    int spans = (longest + COLUMNS_PER_SPAN - 1) / COLUMNS_PER_SPAN, groups = spans * (COLUMNS_PER_SPAN / COLUMNS_PER_GROUP);
    bytes.resize(rows * spans * COLUMNS_PER_SPAN);
    wide.resize(sizeof(PanelInt8) > 1 ? bytes.size() : 0);
    offsets.resize(rows * groups);
    scales.resize(rows * spans);
    for (int r = 0; r < rows; r++) x[r] = {&bytes[r * spans * COLUMNS_PER_SPAN], &offsets[r * groups], &scales[r * spans]};
  }
  AlignedVector<float> floats;
  AlignedVector<uint16_t> halves;  // bfloat16
  std::vector<int8_t> bytes;
  std::vector<PanelInt8> wide;  // the bytes in the type of panels, row after row of a product
  std::vector<int32_t> offsets;
  std::vector<float> scales;
  std::vector<QuantizedRow> x;
  std::vector<std::vector<float>> low_rank;  // A x of each row's adapter
};

struct Scratch {  // buffers of one thread
  Scratch(int thread, int longest, int group, int head_dim)
      : thread(thread), inputs(MAX_ROWS_PER_STEP, longest), panel((longest + COLUMNS_PER_SPAN) * PANEL_REGISTERS) {
    int queries_per_run = std::max(MAX_ROWS_PER_RUN, MAX_PROMPT_ROWS_PER_RUN) * group;
    int width = (head_dim + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
    queries.resize(queries_per_run * head_dim);
    totals.resize(queries_per_run);
    sums.resize(queries_per_run * width);
    values.resize(VALUES_PER_PANEL * width);
  }
  const int thread;
  Inputs inputs;
  std::vector<FloatRegister> panel;
  int taken = 0;  // units of work that all threads took in the earlier parts of a step, see `share`
  // Of attention: the scaled queries of a run's rows and heads, their scores, and the sums of exp(score).
  std::vector<float> queries, scores, totals;
  std::vector<float> sums, values;  // of prompts: the sums of weight * value, and values as a panel
};

struct DecoderBase {
  virtual ~DecoderBase() = default;
  virtual void step(Row* rows, int count, int threads, bool prompt) = 0;
};

template <typename T>  // type of the cached keys and values
class Decoder : public DecoderBase {
 public:
  explicit Decoder(const ModelLayout& model)
      : model_(model), padded_head_dim_((model.head_dim + FLOATS_PER_VECTOR - 1) / FLOATS_PER_VECTOR * FLOATS_PER_VECTOR) {
    const ModelLayout& m = model_;
    int threads = m.max_threads, longest = std::max({m.width, m.heads * m.head_dim, m.inner});
    int qkv_columns = (m.heads + 2 * m.kv_heads) * m.head_dim;
    prompt_inputs_ = std::make_unique<Inputs>(MAX_PROMPT_ROWS_PER_STEP, longest);
    x_.resize(MAX_PROMPT_ROWS_PER_STEP * m.width);
    sublayer_.resize(MAX_PROMPT_ROWS_PER_STEP * m.width);
    qkv_.resize(MAX_PROMPT_ROWS_PER_STEP * qkv_columns);
    attended_.resize(MAX_PROMPT_ROWS_PER_STEP * m.heads * m.head_dim);
    inner_.resize(MAX_PROMPT_ROWS_PER_STEP * m.inner);
    for (int thread = 0; thread < threads; thread++)
      scratch_.push_back(std::make_unique<Scratch>(thread, longest, m.heads / m.kv_heads, m.head_dim));
    for (int thread = 1; thread < threads; thread++) workers_.emplace_back([this, thread] { work(thread); });
  }

  ~Decoder() override {
    stop_.store(true);
    signal_.fetch_add(1, std::memory_order_seq_cst);
    signal_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void step(Row* rows, int count, int threads, bool prompt) override {
    count_ = count;
    threads_ = threads;
    prompt_ = prompt;
    taken_ = 0;
    for (int r = 0; r < count; r++) rows_[r] = &rows[r];
    find_runs();
    barrier_.set_threads(threads);
    cpu_.store(current_cpu(), std::memory_order_relaxed);
    signal_.store((++steps_ << 8) | uint32_t(threads), std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) signal_.notify_all();
    run(0);
  }

 private:
  void work(int thread) {
    uint32_t seen = 0;
    for (;;) {
      Barrier::wait_for_change(signal_, seen, sleepers_);
      seen = signal_.load(std::memory_order_acquire);
      if (stop_.load()) return;
      if (thread >= int(seen % 256)) continue;  // the number of threads is in the signal itself, so all agree on it
      leave_cpu(cpu_.load(std::memory_order_relaxed));
      run(thread);
    }
  }

  void run(int thread) {
    const ModelLayout& m = model_;
    Scratch& s = *scratch_[thread];
    s.taken = 0;
    embed(range(m.width, ROWS_PER_TILE, thread));
    barrier_.wait();
    normalize_in_place(m.embedding_norm, x_.data(), m.width, s);
    for (int n = 0; n < m.num_layers; n++) {
      const Layer& layer = m.layers[n];
      project_qkv(layer, s);
      barrier_.wait();
      if (m.clip || m.qk_norm_span == PROJECTION) norm_and_clip_projections(layer, thread);
      store_keys_and_values(layer, thread);
      barrier_.wait();
      if (prompt_ && n == m.num_layers - 1) {
        if (thread == 0) keep_rows_with_logits(layer.qkv.rows);
        barrier_.wait();
      }
      attend(layer, s, thread);
      barrier_.wait();
      normalize_in_place(layer.attention_sub_norm, attended_.data(), m.heads * m.head_dim, s);
      // With a parallel residual the feed-forward layer reads x as it was before attention.
      add_projection(layer.output, attended_.data(), layer.attention_post_norm, s, m.parallel_residual != 0);
      feed_forward(layer, s);
      barrier_.wait();
      normalize_in_place(layer.feed_forward_sub_norm, inner_.data(), m.inner, s);
      add_projection(layer.down, inner_.data(), layer.feed_forward_post_norm, s, false);
      if (m.parallel_residual) {
        Range columns = range(m.width, ROWS_PER_TILE, thread);
        for (int r = 0; r < count_; r++)
          for (int i = columns.begin; i < columns.end; i++) x_[r * m.width + i] += sublayer_[r * m.width + i];
        barrier_.wait();
      }
    }
    output_logits(s, thread);
    barrier_.wait();
  }

  void find_runs() {
    runs_.clear();
    int max_rows = prompt_ ? MAX_PROMPT_ROWS_PER_RUN : MAX_ROWS_PER_RUN;
    for (int r = 0; r < count_; r++) {
      bool follows = !runs_.empty() && r - runs_.back().begin < max_rows && rows_[r]->blocks == rows_[r - 1]->blocks &&
                     rows_[r]->position == rows_[r - 1]->position + 1;
      if (!follows) runs_.push_back({r, r});
      runs_.back().end = r + 1;
    }
  }

  // Of the last layer the other rows need only their keys and values.
  void keep_rows_with_logits(int qkv_columns) {
    int kept = 0;
    for (int r = 0; r < count_; r++) {
      if (!rows_[r]->logits) continue;
      if (kept < r) {
        std::copy_n(&x_[r * model_.width], model_.width, &x_[kept * model_.width]);
        std::copy_n(&qkv_[r * qkv_columns], qkv_columns, &qkv_[kept * qkv_columns]);
      }
      rows_[kept++] = rows_[r];
    }
    count_ = kept;
    find_runs();
  }

  Range range(int count, int unit, int thread) const { return split_range(count, unit, thread, threads_); }

  // Calls f(unit) for each of `count` units of work: every thread takes the next one, so that fast cores take more of them.
  // There is a barrier between two calls. Their numbers continue: each thread takes one more than there are.
  template <typename F>
  void share(int count, Scratch& s, F f) {
    int unit;
    while ((unit = taken_.fetch_add(1, std::memory_order_relaxed) - s.taken) < count) f(unit);
    s.taken += count + threads_;
  }

  // embedding_and_logits.h
  void embed(Range columns);
  void output_logits(Scratch& s, int thread);
  void set_argmax_and_logsumexp(Row& row) const;

  // matmul.h
  // Of prompts, the threads share the inputs, of which each prepares some rows; otherwise every thread prepares all rows,
  // which costs less than another barrier.
  Inputs& inputs(Scratch& s) { return prompt_ ? *prompt_inputs_ : s.inputs; }
  Range input_rows(const Scratch& s) const { return prompt_ ? range(count_, 1, s.thread) : Range{0, count_}; }
  const float* normalize_rows(const Norm& norm, Scratch& s);
  void normalize_in_place(const Norm& norm, float* x, int width, Scratch& s);
  void convert_input(const Matrix& m, const float* input, Range rows, Inputs& in);
  template <typename Put>
  void multiply(const Matrix& m, const float* input, Scratch& s, Put put);
  template <typename Put>
  void multiply_few(const Matrix& m, const float* input, int count, const Inputs& in, Range rows, Put put);
  template <int BLOCK, typename Put>
  void multiply_blocks(const Matrix& m, const float* input, int count, const Inputs& in, Range rows, Put put);
  template <typename Put>
  void multiply_panel(const Matrix& m, const float* input, const Inputs& in, int i, Scratch& s, Put put);
  template <typename Put>
  void finish_row(const Matrix& m, const Inputs& in, int r, int i, int rows, float* y, Put put);
  void add_projection(const Matrix& m, const float* input, const Norm& post, Scratch& s, bool keep_separate);

  // lora.h
  const LoraDelta* delta_of(const Matrix& m, int r) const;
  void multiply_lora_a(const Matrix& m, const float* input, Range rows, Inputs& in);

  // attention.h
  void project_qkv(const Layer& layer, Scratch& s);
  void norm_and_clip_projections(const Layer& layer, int thread);
  void store_keys_and_values(const Layer& layer, int thread);
  void attend(const Layer& layer, Scratch& s, int thread);
  void scale_queries(const Layer& layer, Range rows, Range heads, Scratch& s);
  void attend_run(const Layer& layer, Range rows, int k, Range heads, Scratch& s);
  template <int Q, int V>
  void weighted_values(const float* weights, int span, int last, const Layer& layer, const int32_t* blocks, int kv_head,
                       int start, int i, float (*sums)[V * FLOATS_PER_VECTOR]) const;
  void norm_and_rotate(const Layer& layer, Norm norm, int head, int position, float* x) const;
  void norm_head(Norm norm, int head, float* x) const;
  void change_scores(float* scores, int span, int start, int position, int head) const;
  float softmax(const Layer& layer, float* scores, int span, int start, int position, int head) const;
  int64_t slot(const int32_t* blocks, int position) const;
  T* key_tile(const Layer& layer, const int32_t* blocks, int kv_head, int position) const;
  T* value_row(const Layer& layer, const int32_t* blocks, int kv_head, int position) const;

  // prompt_attention.h
  void attend_prompt_run(const Layer& layer, Range rows, int k, Scratch& s);
  void score_keys(const Layer& layer, Range rows, int k, int start, int span, int stride, Scratch& s);
  void add_values(const Layer& layer, Range rows, int k, int start, int span, int stride, int width, Scratch& s);

  // feed_forward.h
  void feed_forward(const Layer& layer, Scratch& s);

  ModelLayout model_;
  int padded_head_dim_;
  Barrier barrier_;
  AlignedVector<float> x_, sublayer_, qkv_, attended_, inner_;  // R rows each; sublayer_: an output not yet added to x_
  std::unique_ptr<Inputs> prompt_inputs_;
  std::vector<std::unique_ptr<Scratch>> scratch_;
  std::vector<std::thread> workers_;
  uint32_t steps_ = 0;
  std::atomic<uint32_t> signal_{0};  // the number of the step, and in the lowest 8 bits its number of threads
  std::atomic<int> sleepers_{0};
  std::atomic<int> cpu_{-1};  // on which the caller of the step runs
  std::atomic<bool> stop_{false};
  std::atomic<int> taken_{0};
  Row* rows_[MAX_PROMPT_ROWS_PER_STEP];
  std::vector<Range> runs_;  // of rows that are consecutive tokens of one request
  int count_ = 0, threads_ = 1;
  bool prompt_ = false;
};

}  // namespace
