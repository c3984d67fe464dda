// One decode step of a Transformer: computes one token in each row, reading every weight once for all rows together.
//
// A row is one token of one request: the next token of each of several requests, a request's last token and proposals after
// it, or chunks of prompts. The arithmetic of a row does not depend on the other rows or on the number of threads, so a
// text does not depend on what else is in the batch.
//
// Compiled for this machine's CPU (-march=native), as one unit:
//
//   model_layout.h          the structures that Python fills in: a model as pointers and sizes, and the rows
//   instructions.h          the processor's instructions, behind small functions: one header per instruction set
//   vectors.h               vectors of 16 numbers
//   products.h              products of weights and a few rows of activations, for each type of weights
//   panels.h                products of weights and the many rows of prompts
//   barrier.h  cpu.h        how threads wait for each other, and stay out of each other's way
//   decoder.h               threads, buffers, and the order of a step
//   embedding_and_logits.h  norm.h  matmul.h  lora.h  attention.h  prompt_attention.h  feed_forward.h    the parts of a step

#include "attention.h"
#include "decoder.h"
#include "embedding_and_logits.h"
#include "feed_forward.h"
#include "lora.h"
#include "matmul.h"
#include "model_layout.h"
#include "prompt_attention.h"

extern "C" {

// The instruction set of the products, for `lmcraft doctor`.
const char* lmcraft_instruction_set() {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  return "AVX-512"
#if defined(__AVX512VNNI__)
         " VNNI"
#endif
#if defined(__AVX512BF16__)
         " BF16"
#endif
      ;
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
  return "AVX2"
#if defined(__AVXVNNI__)
         " VNNI"
#endif
      ;
#elif defined(__ARM_NEON)
  return "NEON"
#if defined(__ARM_FEATURE_DOTPROD)
         " dotprod"
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
         " i8mm"
#endif
      ;
#else
  return "no vector instructions that are known";
#endif
}

// The size of a structure in bytes, for `check_struct_sizes` in structs.py; 0 for an unknown name.
int64_t lmcraft_sizeof(const char* name) {
  struct Size {
    const char* name;
    int64_t bytes;
  };
  constexpr Size sizes[] = {{"Matrix", sizeof(Matrix)},           {"Norm", sizeof(Norm)},
                            {"Layer", sizeof(Layer)},             {"ModelLayout", sizeof(ModelLayout)},
                            {"LoraDelta", sizeof(LoraDelta)},     {"Row", sizeof(Row)}};
  for (const Size& size : sizes)
    if (std::strcmp(size.name, name) == 0) return size.bytes;
  return 0;
}

void* lmcraft_open(const ModelLayout* model) {
  if (model->cache_type == FLOAT16) return static_cast<DecoderBase*>(new Decoder<Half>(*model));
  return static_cast<DecoderBase*>(new Decoder<float>(*model));
}
// prompt: whether the rows are tokens of prompts; at most MAX_PROMPT_ROWS_PER_STEP.
void lmcraft_step(void* decoder, Row* rows, int count, int threads, int prompt) {
  static_cast<DecoderBase*>(decoder)->step(rows, count, threads, prompt != 0);
}
void lmcraft_close(void* decoder) { delete static_cast<DecoderBase*>(decoder); }
}
