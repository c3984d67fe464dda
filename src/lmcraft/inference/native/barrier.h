// A barrier for the threads of a step. A waiting thread polls, then yields, then sleeps.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int MAX_POLLS = 4000;  // then a waiting thread yields
constexpr int MAX_YIELDS = 50;   // then it sleeps

class Barrier {
 public:
  void set_threads(int count) { num_threads_ = count; }

  void wait() {
    if (num_threads_ == 1) return;
    uint32_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_seq_cst);
      if (sleepers_.load(std::memory_order_seq_cst) > 0) round_.notify_all();
      return;
    }
    wait_for_change(round_, round, sleepers_);
  }
  static void wait_for_change(std::atomic<uint32_t>& value, uint32_t old, std::atomic<int>& sleepers) {
    for (int i = 0; i < MAX_POLLS; i++) {
      if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
      _mm_pause();
#elif defined(__aarch64__)
      asm volatile("isb");  // `yield` does nothing on most processors
#endif
    }
    for (int i = 0; i < MAX_YIELDS; i++) {
      if (value.load(std::memory_order_acquire) != old) return;
      std::this_thread::yield();
    }
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }

 private:
  int num_threads_ = 1;
  std::atomic<int> arrived_{0}, sleepers_{0};
  std::atomic<uint32_t> round_{0};
};

}  // namespace
