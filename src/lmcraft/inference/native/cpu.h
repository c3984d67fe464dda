// On which CPU a thread runs. Linux may wake a thread on the CPU of the one that woke it, even if another CPU is idle, and
// moves it only some steps later: until then a step on two threads takes three times as long. Elsewhere nothing is done.
#pragma once

#if defined(__linux__)
#include <sched.h>
#endif

namespace {

inline int current_cpu() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// Moves this thread to another CPU if it runs on this one.
inline void leave_cpu([[maybe_unused]] int cpu) {
#if defined(__linux__)
  if (cpu < 0 || cpu != sched_getcpu()) return;
  cpu_set_t allowed, others;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  others = allowed;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof allowed, &allowed);  // it stays where it is now
#endif
}

}  // namespace
