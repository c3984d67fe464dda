// The tokens of a text and the runs that repeat, as data/words.py computes them with arrays.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace {

enum Kind : uint8_t { SPACE, MARK, WHOLE, DIGIT, LETTER };
constexpr uint64_t BASE = 0x9E3779B97F4A7C15;
constexpr uint32_t SEVERAL = 0x110000;  // values above: the character folds to several
constexpr int64_t MAX_TOKEN_CHARS = 1 << 16;

uint64_t mix_bits(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
}

// Returns the number of tokens, or -1 if a character folds to several. Writes hashes, starts, stops and kinds one after the other, each with room for `size` tokens.
template <class Char>
int64_t scan(const Char* text, int64_t size, const uint8_t* kinds, const uint32_t* values, uint64_t* out) {
    uint64_t *hashes = out, *starts = out + size, *stops = out + 2 * size;
    uint8_t* token_kinds = reinterpret_cast<uint8_t*>(out + 3 * size);
    int64_t count = 0;
    for (int64_t place = 0; place < size;) {
        uint8_t kind = kinds[text[place]];
        if (kind == SPACE) {
            ++place;
            continue;
        }
        const int64_t start = place, end = std::min(size, start + MAX_TOKEN_CHARS);
        const uint32_t first = values[text[place]];
        if (first > SEVERAL) return -1;
        uint64_t power = BASE, hash = first * power;
        ++place;
        if (kind == MARK) {
            for (; place < end && kinds[text[place]] == MARK && values[text[place]] == first; ++place)
                hash += first * (power *= BASE);
        } else if (kind != WHOLE) {
            for (uint8_t next; place < end && (next = kinds[text[place]]) >= DIGIT; ++place) {
                const uint32_t value = values[text[place]];
                if (value > SEVERAL) return -1;
                hash += value * (power *= BASE);
                kind = std::max(kind, next);
            }
        }
        hashes[count] = mix_bits(hash);
        starts[count] = start;
        stops[count] = place;
        token_kinds[count++] = kind;
    }
    return count;
}

template <class Char>
bool is_joiner(const Char* text, int64_t place) {
    const uint32_t code = text[place];
    return code == '\'' || code == 0x2019 || code == '.' || code == '_' || code == '@';
}

// Joins words in place, in arrays as `scan` writes them.
template <class Char>
int64_t join(const Char* text, int64_t size, int64_t count, uint64_t* tokens) {
    uint64_t *hashes = tokens, *starts = tokens + size, *stops = tokens + 2 * size;
    uint8_t* kinds = reinterpret_cast<uint8_t*>(tokens + 3 * size);
    int64_t joined = -1;
    bool after_joiner = false;
    uint8_t before = SPACE;  // kind of the token before, as it was
    for (int64_t token = 0; token < count; ++token) {
        const bool joins = token > 0 && token + 1 < count && kinds[token] == MARK && stops[token] - starts[token] == 1 &&
                           before >= DIGIT && kinds[token + 1] >= DIGIT && starts[token] == stops[joined] &&
                           stops[token] == starts[token + 1] && is_joiner(text, starts[token]);
        before = kinds[token];
        if (joins || after_joiner) {
            hashes[joined] += hashes[token] * (after_joiner ? 3 : 1);
            kinds[joined] = std::max(kinds[joined], kinds[token]);
        } else {
            ++joined;
            hashes[joined] = hashes[token];
            starts[joined] = starts[token];
            kinds[joined] = kinds[token];
        }
        stops[joined] = stops[token];
        after_joiner = joins;
    }
    return joined + 1;
}

struct Slot {
    uint64_t run;
    uint32_t count;
};

}  // namespace

extern "C" int64_t words_scan(const void* text, int64_t char_bytes, int64_t size, const uint8_t* kinds, const uint32_t* values,
                              uint64_t* out) {
    return char_bytes == 1 ? scan(static_cast<const uint8_t*>(text), size, kinds, values, out)
                           : scan(static_cast<const uint32_t*>(text), size, kinds, values, out);
}

// The same, with words joined that have an apostrophe, dot, underscore or at sign between them, and no space.
extern "C" int64_t words_join(const void* text, int64_t char_bytes, int64_t size, int64_t count, uint64_t* tokens) {
    return char_bytes == 1 ? join(static_cast<const uint8_t*>(text), size, count, tokens)
                           : join(static_cast<const uint32_t*>(text), size, count, tokens);
}

// The number of hashes, and of runs of two, whose last 16 bits have a mark in the tables.
extern "C" void words_count_marked(const uint64_t* hashes, int64_t size, const uint8_t* words, const uint8_t* pairs, int64_t* out) {
    out[0] = out[1] = 0;
    for (int64_t place = 0; place < size; ++place) {
        out[0] += words[hashes[place] & 0xFFFF];
        if (place) out[1] += pairs[(hashes[place - 1] * BASE + hashes[place]) & 0xFFFF];
    }
}

// Writes how often the most frequent run of `length` hashes stands there, where it begins first, and how many runs repeat
// an earlier one.
extern "C" void words_count_runs(const uint64_t* hashes, int64_t size, int64_t length, int64_t* out) {
    thread_local std::vector<Slot> slots;
    out[0] = out[1] = out[2] = 0;
    const int64_t runs = size - length + 1;
    if (runs <= 0) return;
    const uint64_t mask = std::bit_ceil(static_cast<uint64_t>(2 * runs)) - 1;
    slots.assign(mask + 1, Slot{0, 0});
    uint64_t top = 1, run = 0;  // BASE to the power of length - 1
    for (int64_t place = 1; place < length; ++place) top *= BASE;
    for (int64_t place = 0; place < length - 1; ++place) run = run * BASE + hashes[place];
    auto find = [&](uint64_t key) -> Slot& {
        uint64_t at = mix_bits(key) & mask;
        while (slots[at].count && slots[at].run != key) at = (at + 1) & mask;
        return slots[at];
    };
    uint32_t most = 0;
    int64_t distinct = 0;
    const uint64_t begin = run;
    for (int64_t place = 0; place < runs; ++place) {
        run = run * BASE + hashes[place + length - 1];
        Slot& slot = find(run);
        distinct += slot.count == 0;
        slot.run = run;
        most = std::max(most, ++slot.count);
        run -= hashes[place] * top;
    }
    out[0] = most;
    out[2] = runs - distinct;
    run = begin;
    for (int64_t place = 0; most > 1 && place < runs; ++place) {
        run = run * BASE + hashes[place + length - 1];
        if (find(run).count == most) {
            out[1] = place;
            return;
        }
        run -= hashes[place] * top;
    }
}
