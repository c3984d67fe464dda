// One decode step of a Transformer: every weight is read once, for up to eight rows of tokens together.
//
// A row is one token of one sequence. All arithmetic of a row is the same whatever the other rows and however many
// threads there are, so a text does not depend on what else is in the batch. Shapes in comments: C width, D head width,
// H query heads, K key-value heads, I inner width, V vocabulary, R rows.
//
// Built for the CPU that it runs on (-march=native); the kernels at the top have AVX-512 VNNI, AVX2 and portable forms.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int MOST_ROWS = 8;
constexpr int LINE = 64;  // bytes; columns of quantised weights are padded to it

// ---------------------------------------------------------------------------------------------------------------------
// The plan of a model, filled in by Python through ctypes: plain structures of pointers and sizes, never owned here.

enum Kind : int32_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3, FLOAT16 = 4 };
enum Activation : int32_t { SWIGLU = 0, GEGLU_TANH = 1, GELU = 2, GELU_TANH = 3, RELU2 = 4 };
enum NormKind : int32_t { NO_NORM = 0, RMSNORM = 1, LAYERNORM = 2 };

}  // namespace

extern "C" {

struct Matrix {          // rows x columns, one row after another
  const void* data;      // int8: columns padded to 64 bytes; int4: two columns a byte, groups of 32 columns
  const void* scale;     // int8: a float32 for each row; int4: a float16 for each group
  const int32_t* sum;    // int8: of each row's weights
  const float* bias;     // or null
  int32_t kind, rows, columns, stride;  // stride: bytes from one row to the next
};

struct Norm {
  const float* weight;   // Gemma's with its one added
  const float* bias;     // or null
  int32_t kind;
};

struct Layer {
  Norm attention_norm, attention_post_norm, feed_forward_norm, feed_forward_post_norm;
  const float *q_norm, *k_norm;  // or null
  Matrix qkv, output, gate_up, down;
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
  void* cache;                 // keys and values: layers x 2 x K x places x D
  int64_t places;
  int32_t cache_kind;          // float32 or float16
  int32_t most_threads;
};

struct Row {
  int32_t token, position;
  const int32_t* blocks;       // of the sequence's cache, in order
  float* logits;               // V, or null where they are not wanted
};
}

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Kernels

struct Quantised {  // activations of a row as unsigned bytes: value = (byte - 128) * scale
  uint8_t* data;
  float scale;
};

inline float from_bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

#if defined(__AVX512F__)
inline float sum(__m512 v) { return _mm512_reduce_add_ps(v); }
#endif

float dot_f32(const float* a, const float* b, int n) {
  int i = 0;
  float total = 0;
#if defined(__AVX512F__)
  __m512 s = _mm512_setzero_ps(), t = _mm512_setzero_ps();
  for (; i + 32 <= n; i += 32) {
    s = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s);
    t = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), t);
  }
  total = sum(_mm512_add_ps(s, t));
#elif defined(__AVX2__) && defined(__FMA__)
  __m256 s = _mm256_setzero_ps(), t = _mm256_setzero_ps();
  for (; i + 16 <= n; i += 16) {
    s = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s);
    t = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), t);
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, _mm256_add_ps(s, t));
  for (float lane : lanes) total += lane;
#endif
  for (; i < n; i++) total += a[i] * b[i];
  return total;
}

float dot_bf16(const uint16_t* w, const float* x, int n) {
  int i = 0;
  float total = 0;
#if defined(__AVX512F__)
  __m512 s = _mm512_setzero_ps(), t = _mm512_setzero_ps();
  for (; i + 32 <= n; i += 32) {
    __m512i both = _mm512_loadu_si512(w + i);
    __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(both)), 16));
    __m512 high = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1)), 16));
    s = _mm512_fmadd_ps(low, _mm512_loadu_ps(x + i), s);
    t = _mm512_fmadd_ps(high, _mm512_loadu_ps(x + i + 16), t);
  }
  total = sum(_mm512_add_ps(s, t));
#endif
  for (; i < n; i++) total += from_bf16(w[i]) * x[i];
  return total;
}

// int8: sum over columns of (byte - 128) * weight, for several rows of activations; `n` is a multiple of 64.
template <int R>
inline void dots_int8(const int8_t* w, const Quantised* x, int n, int32_t* out) {
#if defined(__AVX512VNNI__)
  __m512i s[R];
  for (int r = 0; r < R; r++) s[r] = _mm512_setzero_si512();
  for (int i = 0; i < n; i += 64) {
    __m512i weights = _mm512_load_si512(w + i);
    for (int r = 0; r < R; r++) s[r] = _mm512_dpbusd_epi32(s[r], _mm512_load_si512(x[r].data + i), weights);
  }
  for (int r = 0; r < R; r++) out[r] = _mm512_reduce_add_epi32(s[r]);
#elif defined(__AVX2__)
  // maddubs saturates at 16 bits with full bytes; so sign-extended products of 16 bits.
  __m256i s[R];
  for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
  for (int i = 0; i < n; i += 16) {
    __m256i weights = _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(w + i)));
    for (int r = 0; r < R; r++) {
      __m256i bytes = _mm256_cvtepu8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(x[r].data + i)));
      s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(bytes, weights));
    }
  }
  for (int r = 0; r < R; r++) {
    int32_t lanes[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), s[r]);
    out[r] = 0;
    for (int32_t lane : lanes) out[r] += lane;
  }
#else
  for (int r = 0; r < R; r++) {
    int32_t total = 0;
    for (int i = 0; i < n; i++) total += int32_t(x[r].data[i]) * w[i];
    out[r] = total;
  }
#endif
}

// int4, groups of 32 columns: byte j of a group holds columns j and j + 16, each weight + 8; a scale for each group.
template <int R>
inline void dots_int4(const uint8_t* w, const _Float16* scale, const Quantised* x, int n, float* out) {
#if defined(__AVX512VNNI__)
  const __m512i low_bits = _mm512_set1_epi8(15), eights = _mm512_set1_epi8(8);
  __m512 s[R];
  for (int r = 0; r < R; r++) s[r] = _mm512_setzero_ps();
  for (int i = 0; i < n; i += 64) {  // two groups, 32 bytes
    __m256i packed = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + i / 2));
    __m512i both = _mm512_permutex2var_epi64(_mm512_castsi256_si512(packed), _mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0),
                                             _mm512_castsi256_si512(packed));
    __m512i nibbles = _mm512_mask_blend_epi64(0b11001100, both, _mm512_srli_epi16(both, 4));
    __m512i weights = _mm512_sub_epi8(_mm512_and_si512(nibbles, low_bits), eights);
    __m512 scales = _mm512_insertf32x8(_mm512_set1_ps(float(scale[i / 32])), _mm256_set1_ps(float(scale[i / 32 + 1])), 1);
    for (int r = 0; r < R; r++) {
      // (byte - 128) * weight: the 128 comes off through the weights' own sum
      __m512i bytes = _mm512_xor_si512(_mm512_load_si512(x[r].data + i), _mm512_set1_epi8(-128));  // signed now
      __m512i magnitude = _mm512_abs_epi8(weights);
      __mmask64 negative = _mm512_movepi8_mask(weights);
      __m512i turned = _mm512_mask_sub_epi8(bytes, negative, _mm512_setzero_si512(), bytes);
      __m512i products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), magnitude, turned);
      s[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), scales, s[r]);
    }
  }
  for (int r = 0; r < R; r++) out[r] = sum(s[r]);
#else
  for (int r = 0; r < R; r++) {
    float total = 0;
    for (int g = 0; g < n / 32; g++) {
      int32_t products = 0;
      for (int j = 0; j < 16; j++) {
        int32_t byte = w[g * 16 + j];
        products += ((byte & 15) - 8) * (int32_t(x[r].data[g * 32 + j]) - 128);
        products += ((byte >> 4) - 8) * (int32_t(x[r].data[g * 32 + j + 16]) - 128);
      }
      total += float(products) * float(scale[g]);
    }
    out[r] = total;
  }
#endif
}

void quantise(const float* x, int n, int padded, Quantised& out) {
  float largest = 0;
  for (int i = 0; i < n; i++) largest = std::max(largest, std::fabs(x[i]));
  out.scale = largest / 127;
  float inverse = largest > 0 ? 127 / largest : 0;
  for (int i = 0; i < n; i++) out.data[i] = uint8_t(int(std::nearbyint(x[i] * inverse)) + 128);
  for (int i = n; i < padded; i++) out.data[i] = 128;
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads: they meet after every phase; a waiting one polls, then yields, then sleeps.

class Meeting {
 public:
  void expect(int members) { members_ = members; }

  void wait() {
    if (members_ == 1) return;
    uint32_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_seq_cst);
      if (sleepers_.load(std::memory_order_seq_cst) > 0) round_.notify_all();
      return;
    }
    wait_for(round_, round, sleepers_);
  }
  static void wait_for(std::atomic<uint32_t>& value, uint32_t old, std::atomic<int>& sleepers) {
    for (int i = 0; i < 4000; i++) {
      if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
    for (int i = 0; i < 50; i++) {
      if (value.load(std::memory_order_acquire) != old) return;
      std::this_thread::yield();
    }
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }

 private:
  int members_ = 1;
  std::atomic<int> arrived_{0}, sleepers_{0};
  std::atomic<uint32_t> round_{0};
};

// ---------------------------------------------------------------------------------------------------------------------
// The step

struct Part {  // of a matrix's rows, or of other work: what one thread does
  int begin, end;
};

Part part_of(int count, int unit, int member, int members) {
  int units = (count + unit - 1) / unit;
  int begin = int(int64_t(units) * member / members), end = int(int64_t(units) * (member + 1) / members);
  return {std::min(count, begin * unit), std::min(count, end * unit)};
}

void normalise(const Norm& norm, float eps, const float* x, int n, float* out) {
  if (norm.kind == NO_NORM) {
    if (out != x) std::memcpy(out, x, n * sizeof(float));
    return;
  }
  float mean = 0, squares = 0;
  if (norm.kind == LAYERNORM) {
    for (int i = 0; i < n; i++) mean += x[i];
    mean /= float(n);
  }
  for (int i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
  float scale = 1 / std::sqrt(squares / float(n) + eps);
  for (int i = 0; i < n; i++) out[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
}

float activate(int32_t kind, float x) {
  switch (kind) {
    case SWIGLU:
      return x / (1 + std::exp(-x));
    case GELU:
      return 0.5f * x * (1 + std::erf(x * 0.70710678f));
    case RELU2:
      return x > 0 ? x * x : 0;
    default:  // by tanh
      return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
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
#if defined(__AVX512F__)
inline __m512 widened(const float* x) { return _mm512_loadu_ps(x); }
inline __m512 widened(const _Float16* x) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))); }
#endif

struct Steps {
  virtual ~Steps() = default;
  virtual void step(const Row* rows, int count, int threads) = 0;
};

template <typename T>  // of the cached keys and values
class Engine : public Steps {
 public:
  explicit Engine(const Plan& plan) : plan_(plan) {
    const Plan& p = plan_;
    int threads = p.most_threads;
    longest_ = std::max({p.width, p.heads * p.head_dim, p.inner});
    padded_ = (longest_ + LINE - 1) / LINE * LINE;
    int query_rows = (p.heads + 2 * p.kv_heads) * p.head_dim;
    x_.resize(MOST_ROWS * p.width);
    other_.resize(MOST_ROWS * p.width);
    qkv_.resize(MOST_ROWS * query_rows);
    attended_.resize(MOST_ROWS * p.heads * p.head_dim);
    inner_.resize(MOST_ROWS * p.inner);
    for (int member = 0; member < threads; member++) scratch_.push_back(std::make_unique<Scratch>(longest_, padded_));
    for (int member = 1; member < threads; member++) threads_.emplace_back([this, member] { work(member); });
  }

  ~Engine() override {
    stop_.store(true);
    begin_.fetch_add(1, std::memory_order_seq_cst);
    begin_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void step(const Row* rows, int count, int threads) override {
    rows_ = rows;
    count_ = count;
    members_ = threads;
    meeting_.expect(threads);
    begin_.store((++steps_ << 8) | uint32_t(threads), std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) begin_.notify_all();
    run(0);
  }

 private:
  struct Scratch {  // a thread's own
    Scratch(int longest, int padded) : floats(MOST_ROWS * longest), bytes(MOST_ROWS * padded + LINE) {
      auto address = (reinterpret_cast<uintptr_t>(bytes.data()) + LINE - 1) / LINE * LINE;
      for (int r = 0; r < MOST_ROWS; r++) x[r].data = reinterpret_cast<uint8_t*>(address) + r * padded;
    }
    std::vector<float> floats;
    std::vector<uint8_t> bytes;
    std::vector<float> scores;
    Quantised x[MOST_ROWS];
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

  // Brings `rows` of `n` numbers at `input` into the form that a matrix of this kind is multiplied with.
  void prepare(const Matrix& m, const float* input, int n, Scratch& s) {
    if (m.kind == INT8 || m.kind == INT4) {
      for (int r = 0; r < count_; r++) quantise(input + r * n, n, (n + LINE - 1) / LINE * LINE, s.x[r]);
    }
  }

  // out[r * step + i] for the rows i of `part` of the matrix; `input` is what `prepare` was given.
  template <typename Put>
  void multiply(const Matrix& m, const float* input, const Scratch& s, Part part, Put put) {
    const char* data = static_cast<const char*>(m.data);
    int padded = (m.columns + LINE - 1) / LINE * LINE;
    for (int i = part.begin; i < part.end; i++) {
      const char* w = data + int64_t(i) * m.stride;
      float bias = m.bias ? m.bias[i] : 0;
      if (m.kind == INT8) {
        int32_t sums[MOST_ROWS];
        by_rows([&](auto rows) { dots_int8<rows.value>(reinterpret_cast<const int8_t*>(w), s.x, padded, sums); });
        for (int r = 0; r < count_; r++) put(r, i, finish_int8(m, i, sums[r], s.x[r].scale));
      } else if (m.kind == INT4) {
        float sums[MOST_ROWS];
        const _Float16* scale = static_cast<const _Float16*>(m.scale) + int64_t(i) * (padded / 32);
        by_rows([&](auto rows) { dots_int4<rows.value>(reinterpret_cast<const uint8_t*>(w), scale, s.x, padded, sums); });
        for (int r = 0; r < count_; r++) put(r, i, sums[r] * s.x[r].scale + bias);
      } else {
        for (int r = 0; r < count_; r++) {
          const float* x = input + r * m.columns;
          float y = m.kind == FLOAT32 ? dot_f32(reinterpret_cast<const float*>(w), x, m.columns)
                                      : dot_bf16(reinterpret_cast<const uint16_t*>(w), x, m.columns);
          put(r, i, y + bias);
        }
      }
    }
  }

  static float finish_int8(const Matrix& m, int i, int32_t sum, float scale) {
    return float(sum - 128 * m.sum[i]) * (static_cast<const float*>(m.scale)[i] * scale) + (m.bias ? m.bias[i] : 0);
  }

  template <typename F>
  void by_rows(F f) {
    switch (count_) {
      case 1: return f(std::integral_constant<int, 1>());
      case 2: return f(std::integral_constant<int, 2>());
      case 3: return f(std::integral_constant<int, 3>());
      case 4: return f(std::integral_constant<int, 4>());
      case 5: return f(std::integral_constant<int, 5>());
      case 6: return f(std::integral_constant<int, 6>());
      case 7: return f(std::integral_constant<int, 7>());
      default: return f(std::integral_constant<int, 8>());
    }
  }

  Part part(int count, int unit, int member) const { return part_of(count, unit, member, members_); }

  void run(int member) {
    const Plan& p = plan_;
    Scratch& s = *scratch_[member];
    embed(part(p.width, 16, member));
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
      add_matrix(layer.output, attended_.data(), p.heads * p.head_dim, layer.attention_post_norm, s, member,
                 p.parallel_residual != 0);
      feed(layer, s, member);
      meeting_.wait();
      add_matrix(layer.down, inner_.data(), p.inner, layer.feed_forward_post_norm, s, member, false);
      if (p.parallel_residual) {
        Part columns = part(p.width, 16, member);
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
    for (int r = 0; r < count_; r++) normalise(norm, p.norm_eps, &x_[r * p.width], p.width, &s.floats[r * p.width]);
    return s.floats.data();
  }

  void project(const Layer& layer, Scratch& s, int member) {
    const float* input = normed(layer.attention_norm, s);
    prepare(layer.qkv, input, plan_.width, s);
    int step = layer.qkv.rows;
    multiply(layer.qkv, input, s, part(step, 16, member), [&](int r, int i, float y) { qkv_[r * step + i] = y; });
  }

  T* cached(int block, int layer, int which, int kv_head, int place) const {
    const Plan& p = plan_;
    int64_t run = (int64_t(layer) * 2 + which) * p.kv_heads + kv_head;
    return static_cast<T*>(p.cache) + (run * p.places + int64_t(block) * p.block + place) * p.head_dim;
  }

  const float* table(const Layer& layer, int which, int position) const {
    return plan_.rotary[layer.rotary][which] + int64_t(position) * plan_.rotary_dim;
  }

  void turn(const Layer& layer, const float* norm, int position, float* x) const {
    const Plan& p = plan_;
    if (norm) normalise({norm, nullptr, RMSNORM}, p.norm_eps, x, p.head_dim, x);
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
      int block = rows_[r].blocks[position / p.block], place = position % p.block;
      T *to_key = cached(block, n, 0, k, place), *to_value = cached(block, n, 1, k, place);
      for (int i = 0; i < p.head_dim; i++) {
        to_key[i] = narrow_to(key[i], T());
        to_value[i] = narrow_to(value[i], T());
      }
    }
  }

  void attend(const Layer& layer, int n, Scratch& s, int member) {
    const Plan& p = plan_;
    int step = layer.qkv.rows, D = p.head_dim;
    Part units = part(count_ * p.heads, 1, member);
    for (int unit = units.begin; unit < units.end; unit++) {
      int r = unit / p.heads, h = unit % p.heads, k = h / (p.heads / p.kv_heads), position = rows_[r].position;
      float* query = &qkv_[r * step + h * D];
      turn(layer, layer.q_norm, position, query);
      int first = layer.window ? std::max(0, position - layer.window + 1) : 0;
      s.scores.resize(position + 1 - first);
      float largest = -INFINITY;
      for (int t = first; t <= position; t++) {
        const T* key = cached(rows_[r].blocks[t / p.block], n, 0, k, t % p.block);
        float score = dot_cached(key, query, D) * p.attention_scale;
        s.scores[t - first] = score;
        largest = std::max(largest, score);
      }
      float total = 0;
      float* out = &attended_[r * p.heads * D + h * D];
      std::fill(out, out + D, 0.0f);
      for (int t = first; t <= position; t++) {
        float weight = std::exp(s.scores[t - first] - largest);
        total += weight;
        add_cached(weight, cached(rows_[r].blocks[t / p.block], n, 1, k, t % p.block), D, out);
      }
      for (int i = 0; i < D; i++) out[i] /= total;
    }
  }

  static float dot_cached(const T* a, const float* b, int n) {
    int i = 0;
    float total = 0;
#if defined(__AVX512F__)
    __m512 s = _mm512_setzero_ps();
    for (; i + 16 <= n; i += 16) s = _mm512_fmadd_ps(widened(a + i), _mm512_loadu_ps(b + i), s);
    total = sum(s);
#endif
    for (; i < n; i++) total += float(a[i]) * b[i];
    return total;
  }

  static void add_cached(float weight, const T* a, int n, float* out) {
    int i = 0;
#if defined(__AVX512F__)
    __m512 w = _mm512_set1_ps(weight);
    for (; i + 16 <= n; i += 16) {
      _mm512_storeu_ps(out + i, _mm512_fmadd_ps(w, widened(a + i), _mm512_loadu_ps(out + i)));
    }
#endif
    for (; i < n; i++) out[i] += weight * float(a[i]);
  }

  // x += norm(matrix * input), or aside into `other_`; ends with a meeting, so that every thread sees the sum.
  void add_matrix(const Matrix& m, const float* input, int n, const Norm& post, Scratch& s, int member, bool aside) {
    const Plan& p = plan_;
    prepare(m, input, n, s);
    Part mine = part(p.width, 16, member);
    if (aside || post.kind != NO_NORM) {
      multiply(m, input, s, mine, [&](int r, int i, float y) { other_[r * p.width + i] = y; });
      meeting_.wait();
      if (post.kind == NO_NORM) return;
      for (int r = 0; r < count_; r++) {
        normalise(post, p.norm_eps, &other_[r * p.width], p.width, s.floats.data());
        for (int i = mine.begin; i < mine.end; i++) x_[r * p.width + i] += s.floats[i];
      }
    } else {
      multiply(m, input, s, mine, [&](int r, int i, float y) { x_[r * p.width + i] += y; });
    }
    meeting_.wait();
  }

  void feed(const Layer& layer, Scratch& s, int member) {
    const Plan& p = plan_;
    const float* input = normed(layer.feed_forward_norm, s);
    prepare(layer.gate_up, input, p.width, s);
    bool gated = p.activation == SWIGLU || p.activation == GEGLU_TANH;
    Part mine = part(p.inner, 16, member);
    auto put = [&](int r, int i, float y) { inner_[r * p.inner + i] = activate(p.activation, y); };
    multiply(layer.gate_up, input, s, mine, put);
    if (gated) {  // the rows of up follow those of gate
      Part up = {mine.begin + p.inner, mine.end + p.inner};
      multiply(layer.gate_up, input, s, up, [&](int r, int i, float y) { inner_[r * p.inner + i - p.inner] *= y; });
    }
  }

  void head(Scratch& s, int member) {
    const float* input = normed(plan_.norm, s);
    prepare(plan_.head, input, plan_.width, s);
    multiply(plan_.head, input, s, part(plan_.vocabulary, 16, member), [&](int r, int i, float y) {
      if (rows_[r].logits) rows_[r].logits[i] = y;
    });
  }

  Plan plan_;
  Meeting meeting_;
  int longest_, padded_;
  std::vector<float> x_, other_, qkv_, attended_, inner_;  // R rows each
  std::vector<std::unique_ptr<Scratch>> scratch_;
  std::vector<std::thread> threads_;
  uint32_t steps_ = 0;
  std::atomic<uint32_t> begin_{0};  // the number of the step, and in the last 8 bits its threads
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  const Row* rows_ = nullptr;
  int count_ = 0, members_ = 1;
};

}  // namespace

extern "C" {

void* lmcraft_open(const Plan* plan) {
  if (plan->cache_kind == FLOAT16) return static_cast<Steps*>(new Engine<_Float16>(*plan));
  return static_cast<Steps*>(new Engine<float>(*plan));
}
void lmcraft_step(void* engine, const Row* rows, int count, int threads) {
  static_cast<Steps*>(engine)->step(rows, count, threads);
}
void lmcraft_close(void* engine) { delete static_cast<Steps*>(engine); }
}
