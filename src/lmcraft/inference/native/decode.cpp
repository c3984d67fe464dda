// Some tokens through a Transformer: every weight is read once for all rows together.
//
// A row is one token of one sequence: the next one of each of several sequences, a sequence's last one and guesses after
// it, or a piece of a prompt. All arithmetic of a row is the same whatever the other rows and however many threads there
// are, so a text does not depend on what else is in the batch. Shapes in comments: C width, D head width, H query heads,
// K key-value heads, I inner width, V vocabulary, R rows.
//
// Built for the CPU that it runs on (-march=native), as one unit: the other files say what a model is (model_layout.h), how its
// matrices are multiplied (products.h, on vectors.h) and how threads wait for each other (barrier.h).

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "barrier.h"
#include "model_layout.h"
#include "products.h"

namespace {

struct Part {  // of a matrix's rows, or of other work: what one thread does
  int begin, end;
};

Part part_of(int count, int unit, int member, int members) {
  int units = (count + unit - 1) / unit;
  int begin = int(int64_t(units) * member / members), end = int(int64_t(units) * (member + 1) / members);
  return {std::min(count, begin * unit), std::min(count, end * unit)};
}

void normalize(const Norm& norm, float eps, const float* x, int n, float* out) {
  if (norm.kind == NO_NORM) {
    if (out != x) std::memcpy(out, x, n * sizeof(float));
    return;
  }
  int i = 0;
  float mean = 0, squares = 0;
  Floats sums{};
  if (norm.kind == LAYERNORM) {
    for (; i + LANES <= n; i += LANES) sums += load(x + i);
    mean = sum(sums);
    for (; i < n; i++) mean += x[i];
    mean /= float(n);
  }
  sums = Floats{};
  for (i = 0; i + LANES <= n; i += LANES) sums = fma(load(x + i) - mean, load(x + i) - mean, sums);
  squares = sum(sums);
  for (; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
  float scale = 1 / std::sqrt(squares / float(n) + eps);
  for (i = 0; i < n; i++) out[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
}

Floats activate(int32_t kind, Floats x) {
  switch (kind) {
    case SWIGLU:
      return x / (1 + exponential(-x));
    case GELU:
      for (int i = 0; i < LANES; i++) x[i] = 0.5f * x[i] * (1 + std::erf(x[i] * 0.70710678f));
      return x;
    case RELU2:
      return x > 0 ? x * x : Floats{};
    default:  // by tanh(y) = 1 - 2 / (1 + e^2y)
      return x - x / (1 + exponential(1.59576912f * (x + 0.044715f * x * x * x)));
  }
}

void rotate(float* x, const float* cosines, const float* sines, int n) {
  int half = n / 2;
  for (int i = 0; i < half; i++) {
    float a = x[i], b = x[i + half];
    x[i] = a * cosines[i] + b * sines[i];  // the sines of the first half carry the minus
    x[i + half] = b * cosines[i + half] + a * sines[i + half];
  }
}

inline float narrow_to(float value, float) { return value; }
inline _Float16 narrow_to(float value, _Float16) { return _Float16(std::clamp(value, -65504.0f, 65504.0f)); }

struct Steps {
  virtual ~Steps() = default;
  virtual void step(Row* rows, int count, int threads) = 0;
};

template <typename T>  // of the cached keys and values
class Engine : public Steps {
 public:
  explicit Engine(const Plan& plan) : plan_(plan), wide_((plan.head_dim + LANES - 1) / LANES * LANES) {
    const Plan& p = plan_;
    int threads = p.most_threads, longest = std::max({p.width, p.heads * p.head_dim, p.inner});
    int query_rows = (p.heads + 2 * p.kv_heads) * p.head_dim;
    x_.resize(MOST_ROWS * p.width);
    other_.resize(MOST_ROWS * p.width);
    qkv_.resize(MOST_ROWS * query_rows);
    attended_.resize(MOST_ROWS * p.heads * p.head_dim);
    inner_.resize(MOST_ROWS * p.inner);
    for (int member = 0; member < threads; member++)
      scratch_.push_back(std::make_unique<Scratch>(longest, p.heads / p.kv_heads, p.head_dim));
    for (int member = 1; member < threads; member++) threads_.emplace_back([this, member] { work(member); });
  }

  ~Engine() override {
    stop_.store(true);
    begin_.fetch_add(1, std::memory_order_seq_cst);
    begin_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void step(Row* rows, int count, int threads) override {
    rows_ = rows;
    count_ = count;
    members_ = threads;
    runs_.clear();
    for (int r = 0; r < count; r++) {
      bool follows = !runs_.empty() && r - runs_.back().begin < RUN && rows[r].blocks == rows[r - 1].blocks &&
                     rows[r].position == rows[r - 1].position + 1;
      if (!follows) runs_.push_back({r, r});
      runs_.back().end = r + 1;
    }
    meeting_.expect(threads);
    begin_.store((++steps_ << 8) | uint32_t(threads), std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) begin_.notify_all();
    run(0);
  }

 private:
  struct Scratch {  // a thread's own
    Scratch(int longest, int group, int head_dim) : floats(MOST_ROWS * longest), halves(MOST_ROWS * longest) {
      int spans = (longest + SPAN - 1) / SPAN;
      bytes.resize(MOST_ROWS * spans * SPAN);
      offsets.resize(MOST_ROWS * spans * (SPAN / GROUP));
      scales.resize(MOST_ROWS * spans);
      for (int r = 0; r < MOST_ROWS; r++)
        x[r] = {&bytes[r * spans * SPAN], &offsets[r * spans * (SPAN / GROUP)], &scales[r * spans]};
      queries.resize(RUN * group * head_dim);
      totals.resize(RUN * group);
    }
    std::vector<float> floats;
    // The input of a product: in bfloat16, or in bytes.
    std::vector<uint16_t> halves;
    std::vector<int8_t> bytes;
    std::vector<int32_t> offsets;
    std::vector<float> scales;
    Quantized x[MOST_ROWS];
    // Of attention: the queries of some rows and heads, all their scores, and the sums of e^score.
    std::vector<float> queries, scores, totals;
    std::vector<float> low[MOST_ROWS];  // A x of each row's adapter
  };

  void work(int member) {
    uint32_t seen = 0;
    for (;;) {
      Meeting::wait_for(begin_, seen, sleepers_);
      seen = begin_.load(std::memory_order_acquire);
      if (stop_.load()) return;
      if (member < int(seen % 256)) run(member);  // who takes part is in the same word as the signal, so they agree
    }
  }

  // Brings `count` rows of numbers into the form that a matrix of this kind is multiplied with.
  void prepare(const Matrix& m, const float* input, int count, Scratch& s) {
    if (m.kind == BFLOAT16) std::transform(input, input + count * m.columns, s.halves.begin(), to_bf16);
    if (m.kind != INT8 && m.kind != INT4) return;
    for (int r = 0; r < count; r++) quantize(input + r * m.columns, m.columns, m.padded, m.kind, s.x[r]);
  }

  // put(r, i, y, n): rows i to i + n of the matrix with row r of `input`, which `prepare` was given; n is at most 16.
  template <typename Put>
  void multiply(const Matrix& m, const float* input, int count, Scratch& s, Part part, Put put) {
    for (int r = 0; r < count; r++) {  // A x of an adapter; every thread finds all of it
      const Change* change = change_of(m, r);
      s.low[r].resize(change ? (change->rank + LANES - 1) / LANES * LANES : 0);
      for (int k = 0; k < int(s.low[r].size()); k += LANES)
        multiply_plain<1, LANES>(change->a + int64_t(k) * m.columns, input + r * m.columns, m.columns, &s.low[r][k]);
    }
    if (m.kind == INT8 || m.kind == INT4) return multiply_by<4>(m, input, count, s, part, put);
    multiply_by<8>(m, input, count, s, part, put);
  }

  // BLOCK rows are multiplied together, so many that their sums fill the registers.
  template <int BLOCK, typename Put>
  void multiply_by(const Matrix& m, const float* input, int count, const Scratch& s, Part part, Put put) {
    for (int i = part.begin; i < part.end; i += TILE) {
      for (int r = 0; r < count; r += BLOCK) {
        by_rows<BLOCK>(count - r, [&](auto rows) {
          float y[rows.value][TILE];
          if constexpr (BLOCK == 4) {
            quantized_products<rows.value>(m, s.x + r, i, y);
          } else if (m.kind == FLOAT32) {
            plain_products<rows.value>(static_cast<const float*>(m.data), input + r * m.columns, m, i, y);
          } else {
            plain_products<rows.value>(static_cast<const uint16_t*>(m.data), &s.halves[r * m.columns], m, i, y);
          }
          for (int n = 0; n < rows.value; n++) {
            for (int j = 0; j < TILE && i + j < m.rows; j += LANES) {
              if (const Change* change = change_of(m, r + n)) adapt(*change, s.low[r + n].data(), i + j, y[n] + j);
              if (m.bias) save(y[n] + j, load(y[n] + j) + load(m.bias + i + j));
              put(r + n, i + j, y[n] + j, std::min(LANES, m.rows - i - j));
            }
          }
        });
      }
    }
  }

  const Change* change_of(const Matrix& m, int r) const {
    const Change* changes = m.number < 0 ? nullptr : rows_[r].changes;
    return changes && changes[m.number].rank ? &changes[m.number] : nullptr;
  }

  static void adapt(const Change& change, const float* low, int i, float* y) {
    Floats sum = load(y) * load(change.share + i);
    for (int k = 0; k < change.rank; k++) sum = fma(all(low[k]), load(change.b + int64_t(k) * change.padded + i), sum);
    save(y, sum);
  }

  template <int R>
  static void quantized_products(const Matrix& m, const Quantized* x, int i, float (*y)[TILE]) {
    int64_t begin = int64_t(i) * m.padded;
    Floats sums[R][2]{};
    if (m.kind == INT8) {
      multiply_int8<R>(static_cast<const uint8_t*>(m.data) + begin, x, m.padded, sums);
    } else {
      const _Float16* scale = static_cast<const _Float16*>(m.scale) + begin / GROUP;
      multiply_int4<R>(static_cast<const uint8_t*>(m.data) + begin / 2, scale, x, m.padded, sums);
    }
    for (int half = 0; half < 2; half++) {
      Floats scales = m.kind == INT8 ? load(static_cast<const float*>(m.scale) + i + half * LANES) : all(1.0f);
      for (int n = 0; n < R; n++) save(y[n] + half * LANES, sums[n][half] * scales);
    }
  }

  template <int R, typename N>
  static void plain_products(const N* w, const N* x, const Matrix& m, int i, float (*y)[TILE]) {
    int rows = std::min(TILE, m.rows - i);
    constexpr int together = LANES / R;  // rows of weights: the sums of 16 products are found together
    for (int j = 0; j < rows; j += together) {
      by_rows<together>(rows - j, [&](auto some) {
        multiply_plain<R, some.value>(w + int64_t(i + j) * m.columns, x, m.columns, &y[0][j]);
      });
    }
  }

  // f(a constant), of `count` or MOST, whichever is less.
  template <int MOST, typename F>
  static void by_rows(int count, F f) {
    if constexpr (MOST > 1) {
      if (count < MOST) return by_rows<MOST - 1>(count, f);
    }
    f(std::integral_constant<int, MOST>());
  }

  Part part(int count, int unit, int member) const { return part_of(count, unit, member, members_); }

  void run(int member) {
    const Plan& p = plan_;
    Scratch& s = *scratch_[member];
    embed(part(p.width, TILE, member));
    meeting_.wait();
    for (int n = 0; n < p.layers; n++) {
      const Layer& layer = p.layer[n];
      project(layer, s, member);
      meeting_.wait();
      store(layer, n, member);
      meeting_.wait();
      attend(layer, n, s, member);
      meeting_.wait();
      // The output projection reads `attended_`; with a parallel residual the feed-forward layer reads x as it was.
      add_matrix(layer.output, attended_.data(), layer.attention_post_norm, s, member, p.parallel_residual != 0);
      feed(layer, s, member);
      meeting_.wait();
      add_matrix(layer.down, inner_.data(), layer.feed_forward_post_norm, s, member, false);
      if (p.parallel_residual) {
        Part columns = part(p.width, TILE, member);
        for (int r = 0; r < count_; r++)
          for (int i = columns.begin; i < columns.end; i++) x_[r * p.width + i] += other_[r * p.width + i];
        meeting_.wait();
      }
    }
    head(s, member);
    meeting_.wait();
  }

  void embed(Part columns) {
    const Plan& p = plan_;
    for (int r = 0; r < count_; r++) {
      const char* line = static_cast<const char*>(p.embedding) + int64_t(rows_[r].token) * p.embedding_stride;
      for (int i = columns.begin; i < columns.end; i++) {
        float value;
        if (p.embedding_kind == BFLOAT16) {
          value = from_bf16(reinterpret_cast<const uint16_t*>(line)[i]);
        } else {
          value = reinterpret_cast<const float*>(line)[i];
        }
        if (p.positions) value += p.positions[int64_t(rows_[r].position) * p.width + i];
        x_[r * p.width + i] = value * p.embedding_scale;
      }
    }
  }

  // Every thread norms all rows for itself: cheaper than to meet once more.
  const float* normed(const Norm& norm, Scratch& s) {
    const Plan& p = plan_;
    for (int r = 0; r < count_; r++) normalize(norm, p.norm_eps, &x_[r * p.width], p.width, &s.floats[r * p.width]);
    return s.floats.data();
  }

  void project(const Layer& layer, Scratch& s, int member) {
    const float* input = normed(layer.attention_norm, s);
    prepare(layer.qkv, input, count_, s);
    int step = layer.qkv.rows;
    multiply(layer.qkv, input, count_, s, part(step, TILE, member), [&](int r, int i, const float* y, int n) {
      copy(y, n, &qkv_[r * step + i]);
    });
  }

  // Of the 16 places that this one is among: D times 16 numbers.
  T* keys(const int32_t* blocks, int layer, int kv_head, int place) const {
    const Plan& p = plan_;
    int64_t tile = (int64_t(layer) * p.kv_heads + kv_head) * (p.places / LANES) + where(blocks, place) / LANES;
    return static_cast<T*>(p.keys) + tile * LANES * p.head_dim;
  }

  T* values(const int32_t* blocks, int layer, int kv_head, int place) const {
    const Plan& p = plan_;
    int64_t number = (int64_t(layer) * p.kv_heads + kv_head) * p.places + where(blocks, place);
    return static_cast<T*>(p.values) + number * wide_;
  }

  int64_t where(const int32_t* blocks, int place) const {
    return int64_t(blocks[place / plan_.block]) * plan_.block + place % plan_.block;
  }

  const float* table(const Layer& layer, int which, int position) const {
    return plan_.rotary[layer.rotary][which] + int64_t(position) * plan_.rotary_dim;
  }

  void turn(const Layer& layer, const float* norm, int position, float* x) const {
    const Plan& p = plan_;
    if (norm) normalize({norm, nullptr, RMSNORM}, p.norm_eps, x, p.head_dim, x);
    if (p.rotary_dim) rotate(x, table(layer, 0, position), table(layer, 1, position), p.rotary_dim);
  }

  // The new keys and values go into the cache before any row looks: rows of one batch may follow one another.
  void store(const Layer& layer, int n, int member) {
    const Plan& p = plan_;
    int step = layer.qkv.rows;
    Part units = part(count_ * p.kv_heads, 1, member);
    for (int unit = units.begin; unit < units.end; unit++) {
      int r = unit / p.kv_heads, k = unit % p.kv_heads, position = rows_[r].position;
      float* key = &qkv_[r * step + (p.heads + k) * p.head_dim];
      const float* value = &qkv_[r * step + (p.heads + p.kv_heads + k) * p.head_dim];
      turn(layer, layer.k_norm, position, key);
      T *to_key = keys(rows_[r].blocks, n, k, position) + position % LANES, *to_value = values(rows_[r].blocks, n, k, position);
      for (int i = 0; i < p.head_dim; i++) {
        to_key[i * LANES] = narrow_to(key[i], T());
        to_value[i] = narrow_to(value[i], T());
      }
    }
  }

  // The heads of one key-value head look together, with some rows of one sequence.
  void attend(const Layer& layer, int n, Scratch& s, int member) {
    const Plan& p = plan_;
    int group = p.heads / p.kv_heads, pairs = int(runs_.size()) * p.kv_heads;
    int pieces = std::min(group, (members_ + pairs - 1) / pairs);  // of a group, so that every thread has something
    Part units = part(pairs * pieces, 1, member);
    for (int unit = units.begin; unit < units.end; unit++) {
      Part heads = part_of(group, 1, unit % pieces, pieces);
      int pair = unit / pieces, k = pair % p.kv_heads;
      attend_together(layer, n, runs_[pair / p.kv_heads], k, {k * group + heads.begin, k * group + heads.end}, s);
    }
  }

  void attend_together(const Layer& layer, int n, Part rows, int k, Part heads, Scratch& s) {
    const Plan& p = plan_;
    int D = p.head_dim, many = heads.end - heads.begin, count = (rows.end - rows.begin) * many;
    int start = first_seen(layer, rows_[rows.begin].position) / LANES * LANES;
    int span = (rows_[rows.end - 1].position - start) / LANES * LANES + LANES;
    const int32_t* blocks = rows_[rows.begin].blocks;
    auto row_of = [&](int q) { return rows.begin + q / many; };
    auto head_of = [&](int q) { return heads.begin + q % many; };
    if (s.scores.size() < size_t(count) * span) s.scores.resize(size_t(count) * span);
    for (int q = 0; q < count; q++) {
      float* query = &qkv_[row_of(q) * layer.qkv.rows + head_of(q) * D];
      turn(layer, layer.q_norm, rows_[row_of(q)].position, query);
      for (int i = 0; i < D; i++) s.queries[q * D + i] = query[i] * p.attention_scale;
    }
    for (int t = 0; t < span; t += LANES) {
      const T* tile = keys(blocks, n, k, start + t);
      for (int q = 0; q < count; q += 8) {
        by_rows<8>(count - q, [&](auto some) {
          Floats sums[some.value]{};
          const float* queries = &s.queries[q * D];
          for (int i = 0; i < D; i++) {
            Floats key = load(tile + i * LANES);
            for (int j = 0; j < some.value; j++) sums[j] = fma(all(queries[j * D + i]), key, sums[j]);
          }
          for (int j = 0; j < some.value; j++) save(&s.scores[size_t(q + j) * span + t], sums[j]);
        });
      }
    }
    for (int q = 0; q < count; q++) {
      int position = rows_[row_of(q)].position;
      s.totals[q] = weights_of(&s.scores[size_t(q) * span], span, first_seen(layer, position) - start, position - start);
    }
    for (int q = 0; q < count; q += 4) {
      by_rows<4>(count - q, [&](auto some) {
        int last = rows_[row_of(q + some.value - 1)].position - start;
        for (int i = 0; i < D; i += 4 * LANES) {
          by_rows<4>((D - i + LANES - 1) / LANES, [&](auto vectors) {
            float sums[some.value][vectors.value * LANES];
            add_values<some.value, vectors.value>(&s.scores[size_t(q) * span], span, last, blocks, n, k, start, i, sums);
            for (int j = 0; j < some.value; j++) {
              float* to = &attended_[(row_of(q + j) * p.heads + head_of(q + j)) * D + i];
              for (int d = 0; d < std::min(vectors.value * LANES, D - i); d++) to[d] = sums[j][d] / s.totals[q + j];
            }
          });
        }
      });
    }
  }

  // The sums over places of weight * value, of Q queries and V vectors of a value from number i on.
  template <int Q, int V>
  void add_values(const float* weights, int span, int last, const int32_t* blocks, int layer, int kv_head, int start, int i,
                  float (*sums)[V * LANES]) const {
    Floats s[Q][V]{};
    for (int t = 0; t <= last; t += LANES) {
      const T* value = values(blocks, layer, kv_head, start + t) + i;
      int end = std::min(t + LANES, last + 1);
      for (int place = t; place < end; place++, value += wide_) {
        Floats v[V];
        for (int j = 0; j < V; j++) v[j] = load(value + j * LANES);
        for (int q = 0; q < Q; q++) {
          Floats weight = all(weights[size_t(q) * span + place]);
          for (int j = 0; j < V; j++) s[q][j] = fma(weight, v[j], s[q][j]);
        }
      }
    }
    for (int q = 0; q < Q; q++)
      for (int j = 0; j < V; j++) save(&sums[q][j * LANES], s[q][j]);
  }

  static int first_seen(const Layer& layer, int position) {
    return layer.window ? std::max(0, position - layer.window + 1) : 0;
  }

  // From scores to e^(score - the largest) of the places from `first` to `position`, zeros elsewhere; returns their sum.
  static float weights_of(float* scores, int span, int first, int position) {
    const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Floats most = all(-INFINITY), total{};
    for (int t = 0; t < span; t += LANES) {
      Ints seen = (lane + t >= first) & (lane + t <= position);
      Floats score = seen ? load(scores + t) : all(-INFINITY);
      save(scores + t, score);
      most = larger(most, score);
    }
    most = all(largest(most));
    for (int t = 0; t < span; t += LANES) {
      Floats score = load(scores + t), weight = exponential(score - most);
      weight = score == -INFINITY ? Floats{} : weight;
      save(scores + t, weight);
      total += weight;
    }
    return sum(total);
  }

  // x += norm(matrix * input), or aside into `other_`; ends with a meeting, so that every thread sees the sum.
  void add_matrix(const Matrix& m, const float* input, const Norm& post, Scratch& s, int member, bool aside) {
    const Plan& p = plan_;
    prepare(m, input, count_, s);
    Part mine = part(p.width, TILE, member);
    bool direct = !aside && post.kind == NO_NORM;
    multiply(m, input, count_, s, mine, [&](int r, int i, const float* y, int n) {
      float* to = direct ? &x_[r * p.width + i] : &other_[r * p.width + i];
      for (int j = 0; j < n; j++) to[j] = direct ? to[j] + y[j] : y[j];
    });
    meeting_.wait();
    if (post.kind == NO_NORM) return;
    for (int r = 0; r < count_; r++) {
      normalize(post, p.norm_eps, &other_[r * p.width], p.width, s.floats.data());
      for (int i = mine.begin; i < mine.end; i++) x_[r * p.width + i] += s.floats[i];
    }
    meeting_.wait();
  }

  void feed(const Layer& layer, Scratch& s, int member) {
    const Plan& p = plan_;
    const float* input = normed(layer.feed_forward_norm, s);
    prepare(layer.gate, input, count_, s);
    bool gated = p.activation == SWIGLU || p.activation == GEGLU_TANH;
    auto put = [&](int r, int i, float* y, int n) {
      save(y, activate(p.activation, load(y)));
      copy(y, n, &inner_[r * p.inner + i]);
    };
    Part mine = part(p.inner, TILE, member);
    multiply(layer.gate, input, count_, s, mine, put);
    if (!gated) return;
    multiply(layer.up, input, count_, s, mine, [&](int r, int i, const float* y, int n) {
      for (int j = 0; j < n; j++) inner_[r * p.inner + i + j] *= y[j];
    });
  }

  // The rows whose logits are wanted: of a piece of a prompt only the last.
  void head(Scratch& s, int member) {
    const Plan& p = plan_;
    Row* wanted[MOST_ROWS];
    int count = 0;
    for (int r = 0; r < count_; r++) {
      if (!rows_[r].logits) continue;
      normalize(p.norm, p.norm_eps, &x_[r * p.width], p.width, &s.floats[count * p.width]);
      wanted[count++] = &rows_[r];
    }
    prepare(p.head, s.floats.data(), count, s);
    multiply(p.head, s.floats.data(), count, s, part(p.vocabulary, TILE, member),
             [&](int r, int i, const float* y, int n) { copy(y, n, wanted[r]->logits + i); });
    meeting_.wait();
    Part mine = part(count, 1, member);
    for (int r = mine.begin; r < mine.end; r++) sum_up(*wanted[r]);
  }

  void sum_up(Row& row) const {
    int V = plan_.vocabulary, whole = V / LANES * LANES;
    const float* logits = row.logits;
    Floats most = all(-INFINITY), total{};
    for (int i = 0; i < whole; i += LANES) most = larger(most, load(logits + i));
    float top = largest(most);
    for (int i = whole; i < V; i++) top = std::max(top, logits[i]);
    for (int i = 0; i < whole; i += LANES) total += exponential(load(logits + i) - top);
    float rest = sum(total);
    for (int i = whole; i < V; i++) rest += std::exp(logits[i] - top);
    row.best = std::min(V - 1, int(std::find(logits, logits + V, top) - logits));  // the first of several
    row.log_sum = top + std::log(rest);
  }

  Plan plan_;
  int wide_;  // D, up to the next multiple of 16
  Meeting meeting_;
  std::vector<float> x_, other_, qkv_, attended_, inner_;  // R rows each
  std::vector<std::unique_ptr<Scratch>> scratch_;
  std::vector<std::thread> threads_;
  uint32_t steps_ = 0;
  std::atomic<uint32_t> begin_{0};  // the number of the step, and in the last 8 bits its threads
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  Row* rows_ = nullptr;
  std::vector<Part> runs_;  // of rows that follow one another in one sequence
  int count_ = 0, members_ = 1;
};

}  // namespace

extern "C" {

void* lmcraft_open(const Plan* plan) {
  if (plan->cache_kind == FLOAT16) return static_cast<Steps*>(new Engine<_Float16>(*plan));
  return static_cast<Steps*>(new Engine<float>(*plan));
}
void lmcraft_step(void* engine, Row* rows, int count, int threads) {
  static_cast<Steps*>(engine)->step(rows, count, threads);
}
void lmcraft_close(void* engine) { delete static_cast<Steps*>(engine); }
}
