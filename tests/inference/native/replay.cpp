// Runs decode steps on the memory that replay.py wrote into a file, and writes the logits to standard output.
// Usage: replay FILE THREADS PROMPT (0 or 1). The numbers at the beginning of the file are the fields of `Header`.

#include "decode.cpp"

#include <cstdio>
#include <cstdlib>

struct Header {
  int64_t bytes, num_relocations, num_steps, model, logits, logits_bytes;  // model, logits: offsets in the memory
};
struct Relocation {
  int64_t pointer, target;  // offsets in the memory
};
struct Step {
  int64_t rows, count;
};

template <typename T>
T* read(FILE* file, int64_t count) {
  T* items = static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64));
  if (std::fread(items, sizeof(T), count, file) != size_t(count)) std::exit(3);
  return items;
}

int main(int, char** arguments) {
  FILE* file = std::fopen(arguments[1], "rb");
  Header header = *read<Header>(file, 1);
  char* memory = read<char>(file, header.bytes);
  Relocation* relocations = read<Relocation>(file, header.num_relocations);
  Step* steps = read<Step>(file, header.num_steps);
  for (int64_t i = 0; i < header.num_relocations; i++) {
    char* target = memory + relocations[i].target;
    std::memcpy(memory + relocations[i].pointer, &target, sizeof target);
  }
  void* decoder = lmcraft_open(reinterpret_cast<ModelLayout*>(memory + header.model));
  for (int64_t i = 0; i < header.num_steps; i++)
    lmcraft_step(decoder, reinterpret_cast<Row*>(memory + steps[i].rows), int(steps[i].count), std::atoi(arguments[2]),
                 std::atoi(arguments[3]));
  lmcraft_close(decoder);
  std::fwrite(memory + header.logits, 1, header.logits_bytes, stdout);
}
