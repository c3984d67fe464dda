// An Aho-Corasick automaton (Aho and Corasick, 1975) over the symbols of texts, as lexicon/matcher.py computes matches token by token.
//
// Each word begins with the symbol START, and a key that ends with a word matches only where a word ends; so the automaton sees
// whole words, and inside of words that begin no key it stays at its root.
//
// States are numbered by depth, and the children of a state stand together, ordered by `rank`: a state needs one line of the
// processor's cache, and those near the root, where most texts end, stay in it.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace {

enum Kind : uint8_t { SEPARATOR, WORD, FREE, MARK };
constexpr uint32_t START = 0x110000, SYMBOLS = START + 1, MAX_LETTER = 0x3FFFF, SPACE = ' ';
constexpr int32_t ROOT = 0, NONE = -1;
constexpr size_t HISTORY = 1 << 12;  // symbols whose positions are remembered; keys are shorter

struct State {
    uint64_t buckets;     // a bit for each bucket that the symbol of a child is in
    int32_t first_child;  // those of the next state begin where its children end
    int32_t fallback;
    int32_t key;      // that ends here; NONE
    int32_t shorter;  // the next state on the way of fallbacks with a key
};

uint32_t fold(uint32_t code) {
    switch (code) {
        case 0x2018: case 0x2019: case 0x2BC: case 0xB4: case '`': return '\'';
        default: return code;
    }
}

int bucket(uint32_t symbol) { return symbol & 63; }

uint32_t rank(uint32_t symbol) { return static_cast<uint32_t>(bucket(symbol)) << 21 | symbol; }

struct Automaton {
    const uint8_t* kinds;
    std::vector<int32_t> root = std::vector<int32_t>(SYMBOLS, ROOT);
    int32_t word_start = NONE;  // the state after START
    std::vector<int32_t> after_start;
    std::vector<State> states;
    std::vector<uint32_t> symbol_of;  // of each state, by which it is reached
    std::vector<uint16_t> length;     // of each key, in symbols
    std::vector<uint8_t> ends_word;   // of each key

    Kind kind(uint32_t code) const { return code > MAX_LETTER ? MARK : static_cast<Kind>(kinds[code]); }

    int32_t child(int32_t state, uint32_t symbol) const {
        const uint64_t buckets = states[state].buckets, bit = uint64_t{1} << bucket(symbol);
        if (!(buckets & bit)) return NONE;
        const int32_t end = states[state + 1].first_child;
        for (int32_t next = states[state].first_child + __builtin_popcountll(buckets & (bit - 1)); next < end; ++next)
            if (symbol_of[next] == symbol) return next;
        return NONE;
    }

    int32_t step(int32_t state, uint32_t symbol) const {
        while (state != ROOT) {
            if (state == word_start) return after_start[symbol];
            const int32_t next = child(state, symbol);
            if (next != NONE) return next;
            state = states[state].fallback;
        }
        return root[symbol];
    }

    // Calls take(symbol, position) for each symbol of a text. Where it returns true, the rest of a word has no effect.
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
                if (take(now == MARK ? fold(code) : code, position) && now == WORD)
                    while (position + 1 < size && kind(text[position + 1]) == WORD) ++position;
            }
            before = now;
            begun = true;
        }
    }

    void build(const uint32_t* text, const int64_t* starts, int64_t keys) {
        std::vector<std::vector<uint32_t>> words(keys);
        std::vector<int64_t> order(keys);
        for (int64_t key = 0; key < keys; ++key) {
            order[key] = key;
            scan(text + starts[key], starts[key + 1] - starts[key], [&](uint32_t symbol, int64_t) {
                words[key].push_back(symbol);
                return false;
            });
            length.push_back(static_cast<uint16_t>(words[key].size()));
            ends_word.push_back(kind(text[starts[key + 1] - 1]) == WORD);
        }
        const auto is_before = [](uint32_t a, uint32_t b) { return rank(a) < rank(b); };
        std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
            return std::lexicographical_compare(words[a].begin(), words[a].end(), words[b].begin(), words[b].end(), is_before);
        });
        link(add_states(words, std::move(order)));
        if (root[START] == ROOT) return;
        after_start = root;  // its fallback
        word_start = root[START];
        for (int32_t state = states[word_start].first_child; state < states[word_start + 1].first_child; ++state)
            after_start[symbol_of[state]] = state;
    }

    // The states of the keys' trie: per state its parent.
    std::vector<int32_t> add_states(const std::vector<std::vector<uint32_t>>& words, std::vector<int64_t> order) {
        std::vector<int32_t> parents{NONE}, current(words.size(), ROOT);
        symbol_of.assign(1, 0);
        states.assign(1, State{0, 0, ROOT, NONE, ROOT});
        for (size_t depth = 0; !order.empty(); ++depth) {
            size_t longer = 0;
            int32_t newest = ROOT;
            for (const int64_t key : order) {
                if (words[key].size() == depth) continue;
                const uint32_t symbol = words[key][depth];
                if (newest == ROOT || parents[newest] != current[key] || symbol_of[newest] != symbol) {
                    newest = static_cast<int32_t>(states.size());
                    parents.push_back(current[key]);
                    symbol_of.push_back(symbol);
                    states.push_back(State{0, 0, ROOT, NONE, ROOT});
                }
                current[key] = newest;
                if (words[key].size() == depth + 1) states[newest].key = static_cast<int32_t>(key);
                order[longer++] = key;
            }
            order.resize(longer);
        }
        return parents;
    }

    void link(const std::vector<int32_t>& parents) {
        const int32_t count = static_cast<int32_t>(states.size());
        states.push_back(State{0, count, ROOT, NONE, ROOT});  // ends the children of the last one
        int32_t next = 1;
        for (int32_t state = ROOT; state < count; ++state) {
            states[state].first_child = next;
            for (; next < count && parents[next] == state; ++next) states[state].buckets |= uint64_t{1} << bucket(symbol_of[next]);
        }
        for (int32_t state = 1; state < count; ++state) {
            if (parents[state] == ROOT) root[symbol_of[state]] = state;
        }
        for (int32_t state = 1; state < count; ++state) {
            if (parents[state] != ROOT) states[state].fallback = step(states[parents[state]].fallback, symbol_of[state]);
            const State& fallback = states[states[state].fallback];
            states[state].shorter = fallback.key != NONE ? states[state].fallback : fallback.shorter;
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
            if (state == ROOT) return true;
            int taken = 0;
            for (int32_t end = states[state].key != NONE ? state : states[state].shorter; end != ROOT && taken < max_per_end;
                 end = states[end].shorter) {
                const int32_t number = states[end].key;
                if (ends_word[number] && position + 1 < size && kind(text[position + 1]) == WORD) continue;
                if (matches < capacity) {
                    out[3 * matches] = history[(count - length[number]) % HISTORY];
                    out[3 * matches + 1] = position + 1;
                    out[3 * matches + 2] = number;
                }
                ++matches;
                ++taken;
            }
            return false;
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
