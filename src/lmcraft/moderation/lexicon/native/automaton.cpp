// An Aho-Corasick automaton (Aho and Corasick, 1975) over the symbols of texts, as lexicon/matcher.py computes matches token by token.
//
// Each word begins with the symbol START, and a key that ends with a word matches only where a word ends; so the automaton sees
// whole words, and inside of words that begin no key it stays at its root.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace {

enum Kind : uint8_t { SEPARATOR, WORD, FREE, MARK };
constexpr uint32_t START = 0x110000, SYMBOLS = START + 1, MAX_LETTER = 0x3FFFF, SPACE = ' ';
constexpr int32_t ROOT = 0, NONE = -1;
constexpr size_t HISTORY = 1 << 12;  // symbols whose positions are remembered; keys are shorter

struct Edge {
    uint64_t origin;  // state and symbol, plus 1; 0: free
    int32_t state;
};

uint32_t fold(uint32_t code) {
    switch (code) {
        case 0x2018: case 0x2019: case 0x2BC: case 0xB4: case '`': return '\'';
        default: return code;
    }
}

struct Automaton {
    const uint8_t* kinds;
    std::vector<int32_t> root = std::vector<int32_t>(SYMBOLS, ROOT);
    int32_t word_start = NONE;  // the state after START
    std::vector<int32_t> after_start;
    std::vector<Edge> edges;
    std::vector<uint64_t> filter;  // a bit for each edge, which fits into the processor's cache
    uint64_t mask = 0, filter_mask = 0;
    std::vector<int32_t> fallback, key, shorter;  // per state; `shorter`: the next state on the way of fallbacks with a key
    std::vector<uint16_t> length;                 // of each key, in symbols
    std::vector<uint8_t> ends_word;               // of each key

    Kind kind(uint32_t code) const { return code > MAX_LETTER ? MARK : static_cast<Kind>(kinds[code]); }

    static uint64_t origin_of(int32_t state, uint32_t symbol) { return (static_cast<uint64_t>(state) << 21 | symbol) + 1; }

    static uint64_t hash(uint64_t origin) { return origin * 0x9E3779B97F4A7C15; }

    int32_t* find_edge(int32_t state, uint32_t symbol) {
        const uint64_t origin = origin_of(state, symbol), bits = hash(origin);
        uint64_t at = bits >> 20 & mask;
        while (edges[at].origin && edges[at].origin != origin) at = (at + 1) & mask;
        if (!edges[at].origin) edges[at] = {origin, NONE};
        filter[bits >> 26 & filter_mask] |= uint64_t{1} << (bits >> 20 & 63);
        return &edges[at].state;
    }

    int32_t target(int32_t state, uint32_t symbol) const {
        const uint64_t origin = origin_of(state, symbol), bits = hash(origin);
        if (!(filter[bits >> 26 & filter_mask] >> (bits >> 20 & 63) & 1)) return NONE;
        uint64_t at = bits >> 20 & mask;
        while (edges[at].origin && edges[at].origin != origin) at = (at + 1) & mask;
        return edges[at].origin ? edges[at].state : NONE;
    }

    int32_t step(int32_t state, uint32_t symbol) const {
        while (state != ROOT) {
            if (state == word_start) return after_start[symbol];
            const int32_t next = target(state, symbol);
            if (next != NONE) return next;
            state = fallback[state];
        }
        return root[symbol];
    }

    // Calls take(symbol, position) for each symbol of a text.
    template <class Char, class Take>
    void scan(const Char* text, int64_t size, Take take) const {
        Kind before = SEPARATOR;
        bool begun = false;
        for (int64_t position = 0; position < size; ++position) {
            const uint32_t code = text[position];
            const Kind now = kind(code);
            if (now == SEPARATOR) {
                if (before != SEPARATOR || !begun) take(SPACE, position);
            } else {
                if (now == WORD && (before != WORD || !begun)) take(START, position);
                take(now == MARK ? fold(code) : code, position);
            }
            before = now;
            begun = true;
        }
    }

    void build(const uint32_t* text, const int64_t* starts, int64_t keys) {
        const int64_t symbols = 2 * (starts[keys] - starts[0]) + 2;
        uint64_t capacity = 16;
        while (capacity < static_cast<uint64_t>(symbols) * 3 / 2) capacity *= 2;
        edges.assign(capacity, Edge{0, NONE});
        mask = capacity - 1;
        filter.assign(capacity / 16, 0);
        filter_mask = capacity / 16 - 1;
        std::vector<int32_t> parent{ROOT};
        std::vector<uint32_t> symbol_of{0};
        std::vector<uint16_t> depth{0};
        key.assign(1, NONE);
        for (int64_t number = 0; number < keys; ++number) {
            int32_t state = ROOT;
            uint16_t count = 0;
            scan(text + starts[number], starts[number + 1] - starts[number], [&](uint32_t symbol, int64_t) {
                int32_t* next = state == ROOT ? &root[symbol] : find_edge(state, symbol);
                if (*next == (state == ROOT ? ROOT : NONE)) {
                    *next = static_cast<int32_t>(parent.size());
                    parent.push_back(state);
                    symbol_of.push_back(symbol);
                    depth.push_back(count + 1);
                    key.push_back(NONE);
                }
                state = *next;
                ++count;
            });
            key[state] = static_cast<int32_t>(number);
            length.push_back(count);
            ends_word.push_back(kind(text[starts[number + 1] - 1]) == WORD);
        }
        link(parent, symbol_of, depth);
        if (root[START] == ROOT) return;
        after_start = root;  // its fallback
        for (size_t state = 0; state < parent.size(); ++state)
            if (parent[state] == root[START]) after_start[symbol_of[state]] = static_cast<int32_t>(state);
        word_start = root[START];
    }

    void link(const std::vector<int32_t>& parent, const std::vector<uint32_t>& symbol_of, const std::vector<uint16_t>& depth) {
        std::vector<int32_t> order(parent.size());
        for (size_t state = 0; state < order.size(); ++state) order[state] = static_cast<int32_t>(state);
        std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return depth[a] < depth[b]; });
        fallback.assign(parent.size(), ROOT);
        shorter.assign(parent.size(), ROOT);
        for (const int32_t state : order) {
            if (depth[state] > 1) fallback[state] = step(fallback[parent[state]], symbol_of[state]);
            const int32_t next = fallback[state];
            shorter[state] = key[next] != NONE ? next : shorter[next];
        }
    }

    template <class Char>
    int64_t find(const Char* text, int64_t size, int max_per_end, int64_t* out, int64_t capacity) const {
        thread_local std::vector<int64_t> history(HISTORY);
        int64_t count = 0, matches = 0;
        int32_t state = ROOT;
        scan(text, size, [&](uint32_t symbol, int64_t position) {
            history[count++ % HISTORY] = position;
            state = step(state, symbol);
            int taken = 0;
            for (int32_t end = key[state] != NONE ? state : shorter[state]; end != ROOT && taken < max_per_end; end = shorter[end]) {
                const int32_t number = key[end];
                if (ends_word[number] && position + 1 < size && kind(text[position + 1]) == WORD) continue;
                if (matches < capacity) {
                    out[3 * matches] = history[(count - length[number]) % HISTORY];
                    out[3 * matches + 1] = position + 1;
                    out[3 * matches + 2] = number;
                }
                ++matches;
                ++taken;
            }
        });
        return matches;
    }
};

}  // namespace

// The automaton of keys: their text in UTF-32, one after the other, without spaces around them; `starts` has one more entry.
extern "C" Automaton* automaton_build(const uint32_t* text, const int64_t* starts, int64_t keys, const uint8_t* kinds) {
    auto automaton = std::make_unique<Automaton>();
    automaton->kinds = kinds;
    automaton->build(text, starts, keys);
    return automaton.release();
}

extern "C" void automaton_free(Automaton* automaton) { delete automaton; }

// Writes (start, end, key) of at most `capacity` matches, in order of their ends, and returns how many there are; of those with
// one end, the longest `max_per_end`.
extern "C" int64_t automaton_find(const Automaton* automaton, const void* text, int64_t char_bytes, int64_t size, int64_t max_per_end,
                                  int64_t* out, int64_t capacity) {
    const int most = static_cast<int>(max_per_end);
    return char_bytes == 1 ? automaton->find(static_cast<const uint8_t*>(text), size, most, out, capacity)
                           : automaton->find(static_cast<const uint32_t*>(text), size, most, out, capacity);
}
