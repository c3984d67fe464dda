// Byte-level BPE: a text in UTF-8 to token ids, exactly as the library `tokenizers` computes them.
//
// A text is cut into pieces (`pieces.h`). The bytes of a piece become tokens, and of all pairs of neighbors the one with
// the lowest rank is merged, the leftmost first, until none can be. Pieces that recur, such as words, are found in a cache.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <queue>
#include <vector>

#include "pieces.h"

namespace {

constexpr uint32_t NONE = UINT32_MAX;
constexpr int ID_BITS = 21, RANK_BITS = 22;  // a key of the table of merges: two ids and a rank
constexpr int MAX_SCANNED = 192;             // longer pieces are merged with a heap
constexpr int MAX_CACHED_BYTES = 31, MAX_CACHED_IDS = 7;
constexpr int CACHE_BITS = 15;
constexpr uint64_t MULTIPLIER = 0x9E3779B97F4A7C15;

uint64_t mix(uint64_t value) {
    value *= MULTIPLIER;
    return value ^ value >> 32;
}

uint64_t load(const uint8_t* p, size_t size) {
    uint64_t value = 0;
    memcpy(&value, p, size);
    return value;
}

// The bytes of a short piece, padded with zeros to four words; `size` is 1 to 31.
struct Words {
    uint64_t word[4] = {0, 0, 0, 0};

    Words(const uint8_t* p, size_t size) {
        size_t n = 0;
        for (; n + 8 <= size; n += 8) word[n / 8] = load(p + n, 8);
        size_t rest = size - n;
        if (rest == 0) return;
        uint64_t value;
        if (rest >= 4)
            value = load(p + n, 4) | load(p + size - 4, 4) << (8 * (rest - 4));
        else
            value = uint64_t(p[n]) | uint64_t(p[n + rest / 2]) << (8 * (rest / 2)) | uint64_t(p[size - 1]) << (8 * (rest - 1));
        word[n / 8] = value;
    }

    uint64_t hash() const {
        return mix(mix(mix(mix(word[0]) + word[1]) + word[2]) + word[3]);
    }
};

struct Cached {  // 64 bytes
    uint64_t word[4];
    uint32_t ids[MAX_CACHED_IDS];
    uint8_t size, count;
};

// Texts to ids, without change: pieces that are tokens as a whole.
struct Vocabulary {
    std::vector<int32_t> slots;  // index of a token, or -1
    std::vector<uint8_t> bytes;
    std::vector<int64_t> offsets;
    std::vector<uint32_t> ids;

    static uint64_t hash(const uint8_t* p, int64_t size) {
        uint64_t value = size;
        for (; size >= 8; p += 8, size -= 8) value = mix(value + load(p, 8));
        return mix(value + load(p, size));
    }

    void build(const uint8_t* all, const int64_t* ends, const uint32_t* token_ids, int64_t count) {
        if (count == 0) return;
        bytes.assign(all, all + ends[count - 1]);
        offsets.assign(1, 0);
        offsets.insert(offsets.end(), ends, ends + count);
        ids.assign(token_ids, token_ids + count);
        slots.assign(std::bit_ceil(uint64_t(count) * 2), -1);
        for (int64_t n = 0; n < count; n++) {
            uint64_t slot = hash(&bytes[0] + offsets[n], offsets[n + 1] - offsets[n]);
            while (slots[slot & (slots.size() - 1)] >= 0) slot++;
            slots[slot & (slots.size() - 1)] = int32_t(n);
        }
    }

    uint32_t find(const uint8_t* p, int64_t size) const {
        for (uint64_t slot = hash(p, size);; slot++) {
            int32_t n = slots[slot & (slots.size() - 1)];
            if (n < 0) return NONE;
            if (offsets[n + 1] - offsets[n] == size && memcmp(&bytes[0] + offsets[n], p, size) == 0) return ids[n];
        }
    }
};

struct Encoder {
    std::vector<uint8_t> classes;
    uint32_t byte_ids[256];
    std::vector<uint32_t> byte_pairs;  // rank of each pair of bytes
    std::vector<uint64_t> table;       // of merges: key and rank; open addressing
    std::vector<uint32_t> merged;      // id by rank
    Vocabulary whole;
    int32_t style, digits;
    bool splits_digits, single_digits;
    bool lacks_bytes;  // has no tokens for some bytes, which the library drops or replaces

    static uint64_t key(uint32_t left, uint32_t right) { return uint64_t(left) << ID_BITS | right; }

    uint64_t slot_of(uint64_t key) const { return mix(key) & (table.size() - 1); }

    void insert(uint32_t left, uint32_t right, uint32_t rank) {
        uint64_t slot = slot_of(key(left, right));  // of a pair that is listed twice, the later rank counts
        while (table[slot] != UINT64_MAX && table[slot] >> RANK_BITS != key(left, right))
            slot = (slot + 1) & (table.size() - 1);
        table[slot] = key(left, right) << RANK_BITS | rank;
    }

    uint32_t rank(uint32_t left, uint32_t right) const {
        uint64_t wanted = key(left, right);
        for (uint64_t slot = slot_of(wanted);; slot = (slot + 1) & (table.size() - 1)) {
            uint64_t entry = table[slot];
            if (entry >> RANK_BITS == wanted) return entry & ((1u << RANK_BITS) - 1);
            if (entry == UINT64_MAX) return NONE;
        }
    }
};

// What one thread needs.
struct State {
    std::vector<Cached> cache = std::vector<Cached>(size_t(1) << CACHE_BITS, Cached{});
    std::vector<uint32_t> ids, ranks;
    std::vector<int32_t> previous, next;
};

// Merge a piece, by looking at all pairs for each merge; returns the number of ids in `ids`, which has `n` bytes' ids.
int merge_by_scanning(const Encoder& encoder, const uint8_t* p, int n, uint32_t* ids) {
    uint32_t ranks[MAX_SCANNED + 16];
    for (int i = 0; i < n; i++) ids[i] = encoder.byte_ids[p[i]];
    for (int i = 0; i + 1 < n; i++) ranks[i] = encoder.byte_pairs[p[i] << 8 | p[i + 1]];
    for (int i = n - 1; i < n + 16; i++) ranks[i] = NONE;
    while (n > 1) {
        uint32_t best = NONE;
        for (int i = 0; i < n - 1; i += 16) {
            uint32_t least = NONE;
            for (int j = 0; j < 16; j++) least = std::min(least, ranks[i + j]);
            best = std::min(best, least);
        }
        if (best == NONE) break;
        int i = 0;
        while (ranks[i] != best) i++;
        ids[i] = encoder.merged[best];
        memmove(ids + i + 1, ids + i + 2, (n - i - 2) * sizeof(uint32_t));
        memmove(ranks + i + 1, ranks + i + 2, (n - i - 2) * sizeof(uint32_t));
        n--;
        ranks[n - 1] = NONE;
        if (i + 1 < n) ranks[i] = encoder.rank(ids[i], ids[i + 1]);
        if (i > 0) ranks[i - 1] = encoder.rank(ids[i - 1], ids[i]);
    }
    return n;
}

// The same for a piece of any length: tokens are linked, and a heap has the pairs, also some that are there no more.
int64_t merge_by_heap(const Encoder& encoder, State& state, const uint8_t* p, int64_t n, uint32_t* out) {
    auto &ids = state.ids, &ranks = state.ranks;
    auto &previous = state.previous, &next = state.next;
    ids.resize(n), ranks.assign(n, NONE), previous.resize(n), next.resize(n);
    std::vector<uint64_t> pairs;
    pairs.reserve(n);
    for (int64_t i = 0; i < n; i++) {
        ids[i] = encoder.byte_ids[p[i]];
        previous[i] = int32_t(i - 1), next[i] = int32_t(i + 1);
        if (i + 1 < n && (ranks[i] = encoder.byte_pairs[p[i] << 8 | p[i + 1]]) != NONE)
            pairs.push_back(uint64_t(ranks[i]) << 32 | uint64_t(i));
    }
    std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap({}, std::move(pairs));
    auto update = [&](int64_t i) {
        ranks[i] = next[i] < n ? encoder.rank(ids[i], ids[next[i]]) : NONE;
        if (ranks[i] != NONE) heap.push(uint64_t(ranks[i]) << 32 | uint64_t(i));
    };
    while (!heap.empty()) {
        uint64_t top = heap.top();
        heap.pop();
        int64_t i = uint32_t(top);
        if (ranks[i] != top >> 32) continue;
        int64_t right = next[i];
        ids[i] = encoder.merged[top >> 32];
        ranks[right] = NONE;
        next[i] = next[right];
        if (next[i] < n) previous[next[i]] = int32_t(i);
        update(i);
        if (previous[i] >= 0) update(previous[i]);
    }
    uint32_t* end = out;
    for (int64_t i = 0; i < n; i = next[i]) *end++ = ids[i];
    return end - out;
}

int64_t encode_piece(const Encoder& encoder, State& state, const uint8_t* p, int64_t size, uint32_t* out) {
    if (size == 1) return out[0] = encoder.byte_ids[*p], 1;
    auto merge = [&]() -> int64_t {
        if (!encoder.whole.slots.empty())
            if (uint32_t id = encoder.whole.find(p, size); id != NONE) return out[0] = id, 1;
        if (size <= MAX_SCANNED) return merge_by_scanning(encoder, p, int(size), out);
        return merge_by_heap(encoder, state, p, size, out);
    };
    if (size > MAX_CACHED_BYTES) return merge();
    Words words(p, size);
    Cached& entry = state.cache[words.hash() >> (64 - CACHE_BITS)];
    if (entry.size == size && memcmp(entry.word, words.word, sizeof(words.word)) == 0) {
        memcpy(out, entry.ids, sizeof(entry.ids));
        return entry.count;
    }
    int64_t count = merge();
    if (count <= MAX_CACHED_IDS) {
        memcpy(entry.word, words.word, sizeof(words.word));
        memcpy(entry.ids, out, count * sizeof(uint32_t));
        entry.size = uint8_t(size), entry.count = uint8_t(count);
    }
    return count;
}

uint32_t* encode_segment(const Encoder& encoder, State& state, const pieces::Text& text, const uint8_t* p, uint32_t* out) {
    while (p < text.end) {
        const uint8_t* next = encoder.style == pieces::GPT2 ? text.next_gpt2(p) : text.next_cl100k(p);
        out += encode_piece(encoder, state, p, next - p, out);
        p = next;
    }
    return out;
}

}  // namespace

extern "C" {

void* bpe_create(const uint8_t* classes, const uint32_t* byte_ids, const uint32_t* merges, int64_t merge_count,
                 const uint8_t* whole, const int64_t* whole_ends, const uint32_t* whole_ids, int64_t whole_count,
                 const int32_t* settings) {
    auto* encoder = new Encoder;
    encoder->classes.assign(classes, classes + 0x110000);
    memcpy(encoder->byte_ids, byte_ids, sizeof(encoder->byte_ids));
    encoder->table.assign(std::bit_ceil(uint64_t(merge_count) * 2 + 2), UINT64_MAX);
    for (int64_t rank = 0; rank < merge_count; rank++) {  // left, right, merged
        encoder->insert(merges[3 * rank], merges[3 * rank + 1], uint32_t(rank));
        encoder->merged.push_back(merges[3 * rank + 2]);
    }
    encoder->byte_pairs.resize(1 << 16);
    encoder->lacks_bytes = std::find(byte_ids, byte_ids + 256, NONE) != byte_ids + 256;
    for (int pair = 0; pair < 1 << 16; pair++) {
        uint32_t left = byte_ids[pair >> 8], right = byte_ids[pair & 255];
        encoder->byte_pairs[pair] = left == NONE || right == NONE ? NONE : encoder->rank(left, right);
    }
    encoder->whole.build(whole, whole_ends, whole_ids, whole_count);
    encoder->style = settings[0], encoder->digits = settings[1];
    encoder->splits_digits = settings[2] != 0, encoder->single_digits = settings[2] == 1;
    return encoder;
}

void bpe_destroy(void* encoder) { delete static_cast<Encoder*>(encoder); }

void* bpe_create_state() { return new State; }

void bpe_destroy_state(void* state) { delete static_cast<State*>(state); }

// Whether a text, in valid UTF-8, has characters that NFC may change, alone or with their neighbors.
bool bpe_may_compose(const void* pointer, const uint8_t* p, int64_t size) {
    const auto& encoder = *static_cast<const Encoder*>(pointer);
    pieces::Text text{p + size, encoder.classes.data(), 0};
    for (int length; p < text.end; p += length)
        if (text.flags(p, length) & pieces::COMPOSES) return true;
    return false;
}

// Encode a text in valid UTF-8; `out` has room for an id per byte and seven more. Returns the number of ids, or -1 for a
// text with a byte that has no token.
int64_t bpe_encode(const void* pointer, void* state_pointer, const uint8_t* p, int64_t size, uint32_t* out) {
    const auto& encoder = *static_cast<const Encoder*>(pointer);
    auto& state = *static_cast<State*>(state_pointer);
    const uint8_t* end = p + size;
    if (encoder.lacks_bytes && std::any_of(p, end, [&](uint8_t byte) { return encoder.byte_ids[byte] == NONE; })) return -1;
    uint32_t* first = out;
    pieces::Text text{end, encoder.classes.data(), encoder.digits};
    if (!encoder.splits_digits) return encode_segment(encoder, state, text, p, out) - first;
    while (p < end) {  // digits alone, or runs of them, then what is between them
        const uint8_t* q = p;
        int length;
        bool digit = text.flags(q, length) & pieces::DIGIT;
        do q += length;
        while (q < end && bool(text.flags(q, length) & pieces::DIGIT) == digit && !(digit && encoder.single_digits));
        text.end = q;
        out = encode_segment(encoder, state, text, p, out);
        p = q;
        text.end = end;
    }
    return out - first;
}
}
