// Some tokens through a Transformer: every weight is read once for all rows together.
//
// A row is one token of one sequence: the next one of each of several sequences, a sequence's last one and guesses after
// it, or a piece of a prompt. All arithmetic of a row is the same whatever the other rows and however many threads there
// are, so a text does not depend on what else is in the batch. Shapes in comments: C width, D head width, H query heads,
// K key-value heads, I inner width, V vocabulary, R rows.
//
// Built for the CPU that it runs on (-march=native). Vectors of 16 numbers are the compiler's own, which it maps to what
// the CPU has; only products of bytes are written by hand, for AVX-512 VNNI and AVX2, with a portable form.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int MOST_ROWS = 64;  // of a step
constexpr int BLOCK = 8;       // rows that are multiplied together, their sums in registers
constexpr int LANES = 16;      // numbers of a vector, rows of a tile of weights, places of the cache looked at together
constexpr int GROUP = 32;      // columns with one scale in int4
constexpr int LINE = 64;       // bytes of a cache line

// ---------------------------------------------------------------------------------------------------------------------
// The plan of a model, filled in by Python through ctypes: plain structures of pointers and sizes, never owned here.

enum Kind : int32_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3, FLOAT16 = 4 };
enum Activation : int32_t { SWIGLU = 0, GEGLU_TANH = 1, GELU = 2, GELU_TANH = 3, RELU2 = 4 };
enum NormKind : int32_t { NO_NORM = 0, RMSNORM = 1, LAYERNORM = 2 };

}  // namespace

extern "C" {

struct Matrix {          // rows x columns
  const void* data;      // float32, bfloat16: row after row; int8, int4: tiles of 16 rows, see multiply_int8 and _int4
  const void* scale;     // int8: a float32 for each row; int4: a float16 for each group of each row, 16 rows together
  const float* bias;     // or null; 16 rows at a time can be read
  int32_t kind, rows, columns, padded;  // padded: columns that are stored
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
  void* cache;                 // keys and values: layers x 2 x K x places x D
  int64_t places;
  int32_t cache_kind;          // float32 or float16
  int32_t most_threads;
};

struct Row {
  int32_t token, position;
  const int32_t* blocks;       // of the sequence's cache, in order
  float* logits;               // V, or null where they are not wanted
  int32_t best;                // given back where they are: the likeliest token, and the logarithm of the sum of e^logits
  float log_sum;
};
}

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Vectors

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

inline Floats all(float x) { return x - Floats{}; }
inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void save(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }

inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return Floats(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#else
  return a * b + c;
#endif
}

// bfloat16 is the upper half of a float32.
inline Floats load(const uint16_t* p) {
#if defined(__AVX512F__)
  return Floats(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
#else
  Ints wide;
  for (int i = 0; i < LANES; i++) wide[i] = int32_t(uint32_t(p[i]) << 16);
  return Floats(wide);
#endif
}

inline Floats load(const _Float16* p) {
#if defined(__AVX512F__)
  return Floats(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#else
  Floats wide;
  for (int i = 0; i < LANES; i++) wide[i] = float(p[i]);
  return wide;
#endif
}

inline float from_bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

inline float sum(Floats v) {
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) v[i] += v[i + width];
  return v[0];
}

inline float largest(Floats v) {
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) v[i] = std::max(v[i], v[i + width]);
  return v[0];
}

inline void copy(const float* from, int n, float* to) {
  if (n == LANES) return save(to, load(from));
  std::copy(from, from + n, to);
}
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline Floats magnitude(Floats v) { return Floats(Ints(v) & 0x7fffffff); }

// e to the power of x, to 2 units in the last place: 2 to a whole power, and a polynomial for what is left (Cephes' expf).
inline Floats exponential(Floats x) {
  const Floats magic = all(12582912.0f);  // adding it rounds to a whole number
  x = larger(x, all(-87.3f));
  x = x > all(88.3f) ? all(88.3f) : x;
  Floats whole = fma(x, all(1.44269504f), magic) - magic;
  Floats left = fma(whole, all(2.12194440e-4f), fma(whole, all(-0.693359375f), x));
  Floats p = all(1.9875691500e-4f);
  p = fma(p, left, all(1.3981999507e-3f));
  p = fma(p, left, all(8.3334519073e-3f));
  p = fma(p, left, all(4.1665795894e-2f));
  p = fma(p, left, all(1.6666665459e-1f));
  p = fma(p, left, all(5.0000001201e-1f));
  p = fma(p, left * left, left + all(1.0f));
  return Floats(Ints(p) + (__builtin_convertvector(whole, Ints) << 23));
}

// In place: vector i has then what was number i of each.
template <int S, size_t... I>
inline void swap_blocks(Floats& a, Floats& b, std::index_sequence<I...>) {
  Floats low = __builtin_shufflevector(a, b, (I & S ? int(LANES + (I ^ S)) : int(I))...);
  b = __builtin_shufflevector(a, b, (I & S ? int(LANES + I) : int(I ^ S))...);
  a = low;
}
template <int S>
inline void transpose_step(Floats* v) {
  for (int i = 0; i < LANES; i++)
    if (!(i & S)) swap_blocks<S>(v[i], v[i + S], std::make_index_sequence<LANES>());
}
inline void transpose(Floats* v) {
  transpose_step<8>(v);
  transpose_step<4>(v);
  transpose_step<2>(v);
  transpose_step<1>(v);
}

// ---------------------------------------------------------------------------------------------------------------------
// Products

struct Quantised {  // activations of a row: value = byte * scale
  int8_t* data;
  int32_t* offset;  // int8: one, -128 times the sum of the bytes; int4: -8 times the sum of each group
  float scale;
};

void quantise(const float* x, int n, int padded, int32_t kind, Quantised& out) {
  float most = 0;
  int i = 0;
  Floats greatest{};
  for (; i + LANES <= n; i += LANES) greatest = larger(greatest, magnitude(load(x + i)));
  most = largest(greatest);
  for (; i < n; i++) most = std::max(most, std::fabs(x[i]));
  out.scale = most / 127;
  float inverse = most > 0 ? 127 / most : 0;
  for (i = 0; i < n; i++) out.data[i] = int8_t(int32_t(std::nearbyint(x[i] * inverse)));
  for (; i < padded; i++) out.data[i] = 0;
  int group = kind == INT8 ? padded : GROUP, zero = kind == INT8 ? -128 : -8;
  for (int g = 0; g < padded / group; g++) {
    int32_t total = 0;
    for (i = 0; i < group; i++) total += out.data[g * group + i];
    out.offset[g] = zero * total;
  }
}

#if defined(__AVX512VNNI__)
inline __m512i four(const int8_t* p) {  // the same four bytes 16 times
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm512_set1_epi32(bytes);
}
#elif defined(__AVX2__)
inline __m256i four(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm256_set1_epi32(bytes);
}
#endif

// 16 rows of weights with R rows of activations. Each 64 bytes have four columns of 16 rows, each weight + 128.
template <int R>
inline void multiply_int8(const uint8_t* w, const Quantised* x, int columns, Ints* out) {
#if defined(__AVX512VNNI__)
  __m512i s[R];
  for (int r = 0; r < R; r++) s[r] = _mm512_set1_epi32(x[r].offset[0]);
  for (int i = 0; i < columns; i += 4) {
    __m512i weights = _mm512_load_si512(w + LANES * i);
    for (int r = 0; r < R; r++) s[r] = _mm512_dpbusd_epi32(s[r], weights, four(x[r].data + i));
  }
  for (int r = 0; r < R; r++) out[r] = Ints(s[r]);
#elif defined(__AVX2__)
  const __m256i ones = _mm256_set1_epi16(1), middle = _mm256_set1_epi8(-128);
  for (int half = 0; half < 2; half++) {  // 8 rows of weights
    __m256i s[R];
    for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
    for (int i = 0; i < columns; i += 4) {
      __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + LANES * i + 32 * half));
      __m256i weights = _mm256_xor_si256(bytes, middle), magnitudes = _mm256_abs_epi8(weights);  // signed again
      for (int r = 0; r < R; r++) {  // 127 * 127 * 2 does not saturate 16 bits
        __m256i products = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(four(x[r].data + i), weights));
        s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(products, ones));
      }
    }
    for (int r = 0; r < R; r++) std::memcpy(reinterpret_cast<char*>(out + r) + 32 * half, &s[r], 32);
  }
#else
  for (int r = 0; r < R; r++) {
    Ints s = x[r].offset[0] - Ints{};
    for (int i = 0; i < columns; i += 4)
      for (int row = 0; row < LANES; row++)
        for (int c = 0; c < 4; c++) s[row] += int32_t(w[LANES * i + 4 * row + c]) * x[r].data[i + c];
    out[r] = s;
  }
#endif
}

// The same for 4 bits: 256 bytes have 32 columns of 16 rows; the lower halves of each 64 bytes are four of the first 16
// columns, the upper halves four of the last 16, each weight + 8.
template <int R>
inline void multiply_int4(const uint8_t* w, const _Float16* scale, const Quantised* x, int columns, Floats* out) {
  for (int r = 0; r < R; r++) out[r] = Floats{};
  for (int g = 0; g < columns / GROUP; g++, w += 256, scale += LANES) {
    Ints sums[R];
#if defined(__AVX512VNNI__)
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i s[R];
    for (int r = 0; r < R; r++) s[r] = _mm512_set1_epi32(x[r].offset[g]);
    for (int i = 0; i < 16; i += 4) {
      __m512i both = _mm512_load_si512(w + LANES * i);
      __m512i low = _mm512_and_si512(both, mask), high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
      for (int r = 0; r < R; r++) {
        s[r] = _mm512_dpbusd_epi32(s[r], low, four(x[r].data + g * GROUP + i));
        s[r] = _mm512_dpbusd_epi32(s[r], high, four(x[r].data + g * GROUP + 16 + i));
      }
    }
    for (int r = 0; r < R; r++) sums[r] = Ints(s[r]);
#elif defined(__AVX2__)
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    for (int half = 0; half < 2; half++) {
      __m256i s[R];
      for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
      for (int i = 0; i < 16; i += 4) {  // 15 * 127 * 2 * 8 does not saturate 16 bits
        __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + LANES * i + 32 * half));
        __m256i low = _mm256_and_si256(both, mask), high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
        for (int r = 0; r < R; r++) {
          s[r] = _mm256_add_epi16(s[r], _mm256_maddubs_epi16(low, four(x[r].data + g * GROUP + i)));
          s[r] = _mm256_add_epi16(s[r], _mm256_maddubs_epi16(high, four(x[r].data + g * GROUP + 16 + i)));
        }
      }
      for (int r = 0; r < R; r++) {
        __m256i wide = _mm256_add_epi32(_mm256_madd_epi16(s[r], ones), _mm256_set1_epi32(x[r].offset[g]));
        std::memcpy(reinterpret_cast<char*>(sums + r) + 32 * half, &wide, 32);
      }
    }
#else
    for (int r = 0; r < R; r++) {
      const int8_t* bytes = x[r].data + g * GROUP;
      sums[r] = x[r].offset[g] - Ints{};
      for (int i = 0; i < 16; i += 4)
        for (int row = 0; row < LANES; row++)
          for (int c = 0; c < 4; c++) {
            int32_t both = w[LANES * i + 4 * row + c];
            sums[r][row] += (both & 15) * bytes[i + c] + (both >> 4) * bytes[16 + i + c];
          }
    }
#endif
    Floats scales = load(scale);
    for (int r = 0; r < R; r++) out[r] = fma(__builtin_convertvector(sums[r], Floats), scales, out[r]);
  }
}

// One row of weights, float32 or bfloat16, with R rows of activations, `step` numbers apart.
template <int R, typename W>
inline void multiply_plain(const W* w, const float* x, int step, int columns, float* out) {
  Floats s[R][2]{};
  int i = 0;
  for (; i + 2 * LANES <= columns; i += 2 * LANES) {
    Floats first = load(w + i), second = load(w + i + LANES);
    for (int r = 0; r < R; r++) {
      s[r][0] = fma(first, load(x + r * step + i), s[r][0]);
      s[r][1] = fma(second, load(x + r * step + i + LANES), s[r][1]);
    }
  }
  for (int r = 0; r < R; r++) {
    out[r] = sum(s[r][0] + s[r][1]);
    for (int j = i; j < columns; j++) {
      if constexpr (sizeof(W) == 2) {
        out[r] += from_bf16(w[j]) * x[r * step + j];
      } else {
        out[r] += w[j] * x[r * step + j];
      }
    }
  }
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
  explicit Engine(const Plan& plan) : plan_(plan) {
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
      bool follows = !runs_.empty() && r - runs_.back().begin < BLOCK && rows[r].blocks == rows[r - 1].blocks &&
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
    Scratch(int longest, int group, int head_dim) : floats(MOST_ROWS * longest) {
      int padded = (longest + LINE - 1) / LINE * LINE, wide = (head_dim + LANES - 1) / LANES * LANES;
      bytes.resize(MOST_ROWS * padded);
      offsets.resize(MOST_ROWS * padded / GROUP);
      for (int r = 0; r < MOST_ROWS; r++) {
        x[r].data = bytes.data() + r * padded;
        x[r].offset = offsets.data() + r * padded / GROUP;
      }
      queries.resize(BLOCK * group * wide);
      sums.resize(BLOCK * group * wide);
      tile.resize(LANES * wide);
    }
    std::vector<float> floats;
    std::vector<int8_t> bytes;
    std::vector<int32_t> offsets;
    Quantised x[MOST_ROWS];
    // Of attention: the queries of some rows and heads, what they make of the values, all scores, 16 keys or values.
    std::vector<float> queries, sums, scores, tile;
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
    if (m.kind != INT8 && m.kind != INT4) return;
    for (int r = 0; r < count; r++) quantise(input + r * m.columns, m.columns, m.padded, m.kind, s.x[r]);
  }

  // put(r, i, y, n): rows i to i + n of the matrix with row r of `input`, which `prepare` was given; n is at most 16.
  template <typename Put>
  void multiply(const Matrix& m, const float* input, int count, const Scratch& s, Part part, Put put) {
    for (int i = part.begin; i < part.end; i += LANES) {
      for (int r = 0; r < count; r += BLOCK) {
        by_rows(std::min(BLOCK, count - r), [&](auto rows) {
          alignas(64) float y[rows.value][LANES];
          products<rows.value>(m, input + r * m.columns, s.x + r, i, y);
          for (int n = 0; n < rows.value; n++) {
            if (m.bias) save(y[n], load(y[n]) + load(m.bias + i));
            put(r + n, i, y[n], std::min(LANES, m.rows - i));
          }
        });
      }
    }
  }

  template <int R>
  static void products(const Matrix& m, const float* input, const Quantised* x, int i, float (*y)[LANES]) {
    if (m.kind == INT8) {
      Ints sums[R];
      multiply_int8<R>(static_cast<const uint8_t*>(m.data) + int64_t(i) * m.padded, x, m.padded, sums);
      Floats scales = load(static_cast<const float*>(m.scale) + i);
      for (int r = 0; r < R; r++) save(y[r], __builtin_convertvector(sums[r], Floats) * (scales * x[r].scale));
    } else if (m.kind == INT4) {
      Floats sums[R];
      const _Float16* scale = static_cast<const _Float16*>(m.scale) + int64_t(i) * (m.padded / GROUP);
      multiply_int4<R>(static_cast<const uint8_t*>(m.data) + int64_t(i) * m.padded / 2, scale, x, m.padded, sums);
      for (int r = 0; r < R; r++) save(y[r], sums[r] * x[r].scale);
    } else {
      float sums[R];
      for (int j = 0; j < std::min(LANES, m.rows - i); j++) {
        int64_t begin = int64_t(i + j) * m.columns;
        if (m.kind == FLOAT32) {
          multiply_plain<R>(static_cast<const float*>(m.data) + begin, input, m.columns, m.columns, sums);
        } else {
          multiply_plain<R>(static_cast<const uint16_t*>(m.data) + begin, input, m.columns, m.columns, sums);
        }
        for (int r = 0; r < R; r++) y[r][j] = sums[r];
      }
    }
  }

  template <typename F>
  static void by_rows(int count, F f) {
    switch (count) {
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
    embed(part(p.width, LANES, member));
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
        Part columns = part(p.width, LANES, member);
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
    prepare(layer.qkv, input, count_, s);
    int step = layer.qkv.rows;
    multiply(layer.qkv, input, count_, s, part(step, LANES, member), [&](int r, int i, const float* y, int n) {
      copy(y, n, &qkv_[r * step + i]);
    });
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

  // The heads of one key-value head look together, with some rows of one sequence: its keys are brought into form once.
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
    int D = p.head_dim, wide = (D + LANES - 1) / LANES * LANES, many = heads.end - heads.begin;
    int count = (rows.end - rows.begin) * many, last = rows_[rows.end - 1].position;
    int start = first_seen(layer, rows_[rows.begin].position) / LANES * LANES, span = last / LANES * LANES + LANES - start;
    s.scores.resize(size_t(count) * span);
    for (int q = 0; q < count; q++) {
      int r = rows.begin + q / many, h = heads.begin + q % many;
      float* query = &qkv_[r * layer.qkv.rows + h * D];
      turn(layer, layer.q_norm, rows_[r].position, query);
      for (int i = 0; i < D; i++) s.queries[q * wide + i] = query[i] * p.attention_scale;
    }
    const int32_t* blocks = rows_[rows.begin].blocks;
    for (int t = start; t <= last; t += LANES) {
      bring_keys(cached(blocks[t / p.block], n, 0, k, t % p.block), s);
      for (int q = 0; q < count; q += 4) {
        by_rows(std::min(4, count - q), [&](auto four) {
          Floats sums[four.value]{};
          for (int i = 0; i < D; i++)
            for (int j = 0; j < four.value; j++)
              sums[j] = fma(all(s.queries[(q + j) * wide + i]), load(&s.tile[i * LANES]), sums[j]);
          for (int j = 0; j < four.value; j++) save(&s.scores[size_t(q + j) * span + t - start], sums[j]);
        });
      }
    }
    for (int q = 0; q < count; q++) {
      int position = rows_[rows.begin + q / many].position;
      float total = weights_of(&s.scores[size_t(q) * span], start, first_seen(layer, position), position);
      for (int i = 0; i < span; i += LANES) {
        float* w = &s.scores[size_t(q) * span + i];
        if (start + i <= position) save(w, load(w) / total);
      }
    }
    std::fill(s.sums.begin(), s.sums.end(), 0.0f);
    for (int t = start; t <= last; t += LANES) {
      bring_values(cached(blocks[t / p.block], n, 1, k, t % p.block), s);
      for (int q = 0; q < count; q++) {
        int position = rows_[rows.begin + q / many].position;
        int begin = std::max(0, first_seen(layer, position) - t), end = std::min(LANES, position + 1 - t);
        add_values(&s.scores[size_t(q) * span + t - start], begin, end, wide, s.tile.data(), &s.sums[q * wide]);
      }
    }
    for (int q = 0; q < count; q++) {
      int r = rows.begin + q / many, h = heads.begin + q % many;
      std::copy_n(&s.sums[q * wide], D, &attended_[(r * p.heads + h) * D]);
    }
  }

  static int first_seen(const Layer& layer, int position) {
    return layer.window ? std::max(0, position - layer.window + 1) : 0;
  }

  // From scores of the places from `start` to e^(score - the largest) of those that are seen; returns their sum.
  static float weights_of(float* scores, int start, int first, int position) {
    const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Floats most = all(-INFINITY), total{};
    for (int t = start; t <= position; t += LANES) {
      Ints seen = (lane + t >= first) & (lane + t <= position);
      Floats score = seen ? load(scores + t - start) : all(-INFINITY);
      save(scores + t - start, score);
      most = larger(most, score);
    }
    most = all(largest(most));
    for (int t = start; t <= position; t += LANES) {
      Floats score = load(scores + t - start), weight = exponential(score - most);
      weight = score == -INFINITY ? Floats{} : weight;
      save(scores + t - start, weight);
      total += weight;
    }
    return sum(total);
  }

  // 16 keys as D vectors of one number of each.
  void bring_keys(const T* keys, Scratch& s) const {
    int D = plan_.head_dim;
    for (int i = 0; i < D; i += LANES) {
      Floats v[LANES];
      for (int t = 0; t < LANES; t++) v[t] = some(keys + t * D + i, D - i);
      transpose(v);
      for (int j = 0; j < std::min(LANES, D - i); j++) save(&s.tile[(i + j) * LANES], v[j]);
    }
  }

  void bring_values(const T* values, Scratch& s) const {
    int D = plan_.head_dim, wide = (D + LANES - 1) / LANES * LANES;
    for (int t = 0; t < LANES; t++)
      for (int i = 0; i < D; i += LANES) save(&s.tile[t * wide + i], some(values + t * D + i, D - i));
  }

  // Up to 16 numbers, zeros after them.
  static Floats some(const T* p, int n) {
    if (n >= LANES) return load(p);
    T numbers[LANES]{};
    std::copy_n(p, n, numbers);
    return load(numbers);
  }

  // out += the sum over places of weight * value.
  static void add_values(const float* weights, int begin, int end, int wide, const float* values, float* out) {
    for (int i = 0; i < wide; i += 4 * LANES) {
      by_rows(std::min(4, (wide - i) / LANES), [&](auto four) {
        Floats sums[four.value];
        for (int j = 0; j < four.value; j++) sums[j] = load(out + i + j * LANES);
        for (int t = begin; t < end; t++)
          for (int j = 0; j < four.value; j++)
            sums[j] = fma(all(weights[t]), load(values + t * wide + i + j * LANES), sums[j]);
        for (int j = 0; j < four.value; j++) save(out + i + j * LANES, sums[j]);
      });
    }
  }

  // x += norm(matrix * input), or aside into `other_`; ends with a meeting, so that every thread sees the sum.
  void add_matrix(const Matrix& m, const float* input, const Norm& post, Scratch& s, int member, bool aside) {
    const Plan& p = plan_;
    prepare(m, input, count_, s);
    Part mine = part(p.width, LANES, member);
    bool direct = !aside && post.kind == NO_NORM;
    multiply(m, input, count_, s, mine, [&](int r, int i, const float* y, int n) {
      float* to = direct ? &x_[r * p.width + i] : &other_[r * p.width + i];
      for (int j = 0; j < n; j++) to[j] = direct ? to[j] + y[j] : y[j];
    });
    meeting_.wait();
    if (post.kind == NO_NORM) return;
    for (int r = 0; r < count_; r++) {
      normalise(post, p.norm_eps, &other_[r * p.width], p.width, s.floats.data());
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
    Part mine = part(p.inner, LANES, member);
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
      normalise(p.norm, p.norm_eps, &x_[r * p.width], p.width, &s.floats[count * p.width]);
      wanted[count++] = &rows_[r];
    }
    prepare(p.head, s.floats.data(), count, s);
    multiply(p.head, s.floats.data(), count, s, part(p.vocabulary, LANES, member),
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
