// The instruction sets: everything that is written differently for each of them. Every set defines
//
//   LANES            float32 or int32 numbers in a register; and the types FloatRegister, IntRegister, ByteRegister
//   SUM_REGISTERS    registers that a loop may use for its sums
//   INT8_STEPS_UNROLLED, INT4_STEPS_UNROLLED    of the loops over four columns. With 32 registers all of them: GCC copies the
//                    sums of a loop with VNNI otherwise. With 16, GCC would move the activations of all steps to the stack.
//   multiply_add     a * b + c
//   load_register    LANES numbers: float32, bfloat16 (uint16_t), float16 (Half)
//   store_bytes      LANES int32 numbers, each within int8
//   load_bytes       4 bytes for each lane
//   repeat_4_bytes   the same 4 bytes for each lane
//   keep_in_register an empty statement that the compiler does not move, so that it keeps the sums of a loop in registers
//
// and products of bytes: to each lane's sum they add the four products of its bytes of weights and of activations, which are
// within -127 to 127.
//
//   Int8Weights      weights of 8 bits, prepared by `prepare_int8` from bytes that hold weight + 128
//   INT8_OFFSET      0 if `add_int8_products` multiplies the weights; 128 if it multiplies weight + 128
//   Int4Sums         sums of products of 4-bit weights, of at most 32 products per lane; `widen` turns them into int32
//   PANEL_REGISTERS  registers of a panel of weights (panels.h)
//   PanelInt8        the type that panels of int8 weights hold: weight + 128 in a byte, or the weight in 16 bits
//   add_panel_products     adds to each lane the products of 4 bytes of such weights with activations of as many bits
//   low_half, high_half    of each byte, as numbers from 0 to 15
//
// and the product of two float32 or bfloat16 vectors:
//
//   DenseInput       the type of the activations that bfloat16 weights are multiplied with
//   add_bf16_products      where DenseInput is bfloat16: to each lane two products of pairs are added
#pragma once

#include <cstdint>
#include <cstring>

namespace {

#if defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
typedef __fp16 Half;
#else
typedef _Float16 Half;
#endif

}  // namespace

#if defined(LMCRAFT_PORTABLE)  // for tests
#include "instructions_portable.h"
#elif defined(__AVX512F__) && defined(__AVX512BW__)
#include "instructions_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "instructions_avx2.h"
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include "instructions_neon.h"
#else
#include "instructions_portable.h"
#endif
