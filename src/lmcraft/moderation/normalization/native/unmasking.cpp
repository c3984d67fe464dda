// Finds suspicious words in a plain text and reads them, as unmasking.py and splits.py do with arrays.
#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

enum Kind : uint8_t { OTHER, LETTER, HAN, DIGIT, SIGN, SPLITTER, STOP, SPACE, LINE_END, MARK };
constexpr int64_t MAX_GAP_CHARS = 3, MIN_STRETCH = 3, CONTEXT_WORDS = 8;
constexpr int READINGS = 4;
enum Flag : uint8_t { JOINED = 1, DROPPED = 2, KEPT = 4, ANCHOR = 8, SUSPICIOUS = 16 };

struct Gap {
    int64_t place, start, length;  // the gap behind the character `place` of those that spell words
    bool has_signs, is_tight, are_single, is_joined;
};

struct Item {  // a character of a passage
    uint32_t code;
    int32_t index;
    uint8_t kind, flags;
};

template <class Char>
struct Unmasking {
    const Char* text;
    int64_t size;
    std::vector<uint8_t> kinds, flags;
    std::vector<int64_t> positions;  // of characters that can spell words
    std::vector<Gap> gaps;
    bool has_anchors = false;

    bool spells(int64_t at) const { return kinds[at] >= LETTER && kinds[at] <= SIGN; }

    Unmasking(const Char* text, int64_t size, const uint8_t* table) : text(text), size(size), kinds(size), flags(size, 0) {
        for (int64_t at = 0; at < size; ++at) kinds[at] = text[at] == '!' ? static_cast<uint8_t>(MARK) : table[text[at]];
        for (int64_t at = 0; at + 1 < size; ++at) {
            const uint8_t behind = kinds[at + 1];
            if (text[at] == '!' && text[at + 1] != '!' && (behind == LETTER || behind == DIGIT || behind == SIGN)) kinds[at] = SIGN;
        }
        for (int64_t at = 0; at < size; ++at)
            if (spells(at)) positions.push_back(at);
    }

    bool is_single(int64_t place) const {
        const int64_t at = positions[place];
        return (place == 0 || positions[place - 1] < at - 1) &&
               (place + 1 == static_cast<int64_t>(positions.size()) || positions[place + 1] > at + 1);
    }

    void anchor(int64_t at) {
        flags[at] |= ANCHOR;
        has_anchors = true;
    }

    void find_gaps() {
        for (int64_t place = 0; place + 1 < static_cast<int64_t>(positions.size()); ++place) {
            const int64_t before = positions[place], behind = positions[place + 1], length = behind - before - 1;
            if (length < 1 || length > MAX_GAP_CHARS) continue;
            const bool are_han = kinds[before] == HAN && kinds[behind] == HAN;
            const bool are_single = is_single(place) && is_single(place + 1);
            if (length == 1 && kinds[before + 1] == SPACE && !are_han && !are_single) continue;
            unsigned seen = 0;
            for (int64_t at = before + 1; at < behind; ++at) seen |= 1u << kinds[at];
            const unsigned signs = 1u << SPLITTER | 1u << STOP, spaces = 1u << SPACE | 1u << LINE_END;
            Gap gap{place, before + 1, length, !(seen & ~signs), !(seen & spaces), are_single && !(seen & 1u << OTHER), false};
            gap.is_joined = are_han && !(seen & ~(signs | 1u << SPACE));
            gaps.push_back(gap);
        }
    }

    bool beside(size_t number, int step, bool Gap::*property, bool tight) const {
        const size_t other = number + step;
        return other < gaps.size() && gaps[other].place == gaps[number].place + step && gaps[other].*property &&
               (!tight || gaps[other].is_tight);
    }

    void join() {
        std::vector<bool> joins(gaps.size());
        for (size_t number = 0; number < gaps.size(); ++number) {
            const Gap& gap = gaps[number];
            const bool is_loose = !gap.is_tight && (beside(number, -1, &Gap::are_single, true) || beside(number, 1, &Gap::are_single, true));
            joins[number] = gap.has_signs || (gap.are_single && !is_loose) || gap.is_joined;
        }
        for (size_t number = 0; number < gaps.size(); ++number) gaps[number].is_joined = joins[number];
        for (size_t number = 0; number < gaps.size(); ++number) {
            const Gap& gap = gaps[number];
            if (gap.is_joined) {
                const bool can_begin = !beside(number, -1, &Gap::is_joined, false) && is_word(text[gap.start - 1]);
                const bool can_end = !beside(number, 1, &Gap::is_joined, false) && is_word(text[gap.start + gap.length]);
                const uint8_t kept = !gap.is_tight && (can_begin || can_end) ? KEPT : 0;
                for (int64_t at = gap.start; at < gap.start + gap.length; ++at) flags[at] |= JOINED | DROPPED | kept;
                anchor(gap.start - 1);
            }
            if (gap.length == 2) hang(gap.start);
        }
    }

    static bool is_word(uint32_t code) { return code == 'a' || code == 'i' || code == 'o' || code == 'u'; }

    void hang(int64_t at) {
        const uint8_t first = kinds[at], second = kinds[at + 1];
        int64_t sign = -1;
        if (first == SPACE && (second == SPLITTER || second == STOP) && kinds[at + 2] == LETTER) sign = at + 1;
        if (first == SPLITTER && second == SPACE && kinds[at - 1] == LETTER) sign = at;
        if (sign < 0) return;
        flags[sign] |= DROPPED;
        anchor(sign);
    }

    void find_anchors() {
        for (int64_t at = 0; at < size; ++at) {
            if (kinds[at] == DIGIT || kinds[at] == SIGN) {
                const uint8_t before = kinds[std::max<int64_t>(at - 1, 0)], behind = kinds[std::min(at + 1, size - 1)];
                if (before == LETTER || behind == LETTER || (before == HAN && behind == HAN && kinds[at] == SIGN)) anchor(at);
            }
            if (at + 2 < size && text[at] == text[at + 1] && text[at] == text[at + 2] && spells(at)) anchor(at);
        }
    }

    // The passages: suspicious words with their surroundings, each with a line end behind it.
    std::vector<Item> gather() {
        std::vector<int64_t> starts, stops;
        std::vector<bool> is_suspicious;
        bool has_letter = false, has_anchor = false;
        const auto close = [&] {
            if (!starts.empty()) is_suspicious.push_back(has_anchor && has_letter);
        };
        for (int64_t at = 0; at < size; ++at) {
            const bool inside = spells(at) || flags[at] & JOINED;
            if (inside && (stops.size() == starts.size())) {
                close();
                starts.push_back(at);
                has_letter = has_anchor = false;
            } else if (!inside && stops.size() < starts.size()) {
                stops.push_back(at);
            }
            has_letter |= inside && (kinds[at] == LETTER || kinds[at] == HAN);
            has_anchor |= (flags[at] & ANCHOR) != 0;
        }
        if (stops.size() < starts.size()) stops.push_back(size);
        close();
        std::vector<Item> items;
        const int64_t words = static_cast<int64_t>(starts.size());
        for (int64_t word = 0; word < words; ++word) {
            if (!is_suspicious[word]) continue;
            const int64_t first = std::max<int64_t>(word - CONTEXT_WORDS, 0);
            int64_t last = word;
            for (int64_t next = word; next < words && next - CONTEXT_WORDS <= std::min(last + CONTEXT_WORDS, words - 1) + 1; ++next)
                if (is_suspicious[next]) last = next;
            const int64_t end = std::min(last + CONTEXT_WORDS, words - 1);
            int64_t inside = first;
            for (int64_t at = starts[first]; at < stops[end]; ++at) {
                while (inside <= end && at >= stops[inside]) ++inside;
                const bool suspicious = inside <= end && at >= starts[inside] && is_suspicious[inside];
                items.push_back({static_cast<uint32_t>(text[at]), static_cast<int32_t>(at), kinds[at],
                                 static_cast<uint8_t>(flags[at] | (suspicious ? SUSPICIOUS : 0))});
            }
            items.push_back({'\n', static_cast<int32_t>(stops[end] - 1), LINE_END, 0});
            word = last;
        }
        return items;
    }
};

struct Output {
    uint32_t* codes;
    int32_t* indices;
    int64_t size;  // of the text
};

// Appends the items that are kept, and of stretches only `max_repeats`; behind their indices stands the size of the text.
template <class Code, class Keep>
int64_t squeeze(const std::vector<Item>& items, Output& out, bool everywhere, int64_t max_repeats, Code code, Keep keep) {
    uint32_t* const begin = out.codes;
    std::vector<size_t> kept;
    kept.reserve(items.size());
    for (size_t at = 0; at < items.size(); ++at)
        if (keep(items[at])) kept.push_back(at);
    for (size_t first = 0, next; first < kept.size(); first = next) {
        const uint32_t value = code(items[kept[first]]);
        for (next = first + 1; next < kept.size() && code(items[kept[next]]) == value;) ++next;
        for (size_t at = first; at < next; ++at) {
            const Item& item = items[kept[at]];
            const bool is_squeezed = everywhere || item.flags & SUSPICIOUS;
            if (static_cast<int64_t>(next - first) >= MIN_STRETCH && static_cast<int64_t>(at - first) >= max_repeats && is_squeezed)
                continue;
            *out.codes++ = value;
            *out.indices++ = item.index;
        }
    }
    *out.indices++ = static_cast<int32_t>(out.size);
    return out.codes - begin;
}

template <class Char>
void run(const Char* text, int64_t size, const uint8_t* table, const uint32_t* letters, int64_t letter_count, uint32_t* codes,
         int32_t* indices, int64_t* counts) {
    Unmasking<Char> unmasking(text, size, table);
    std::fill(counts, counts + READINGS, -1);
    unmasking.find_gaps();
    unmasking.join();
    unmasking.find_anchors();
    if (!unmasking.has_anchors) return;
    const std::vector<Item> items = unmasking.gather();
    if (items.empty()) return;
    Output out{codes, indices, size};
    const auto letter = [&](const Item& item) { return item.code < letter_count ? letters[item.code] : item.code; };
    const auto is_sign = [](const Item& item) { return (item.kind == DIGIT || item.kind == SIGN) && item.flags & SUSPICIOUS; };
    const auto code = [&](const Item& item) { return is_sign(item) ? letter(item) : item.code; };
    const auto merged = [&](const Item& item) { return letter(item) == 'l' ? static_cast<uint32_t>('i') : letter(item); };
    const auto is_kept = [](const Item& item) { return !(item.flags & DROPPED); };
    counts[0] = squeeze(items, out, false, 1, code, is_kept);
    if (std::any_of(items.begin(), items.end(), [](const Item& item) { return item.flags & KEPT; }))
        counts[1] = squeeze(items, out, false, 1, code, [](const Item& item) { return !(item.flags & DROPPED) || item.flags & KEPT; });
    bool is_ambiguous = std::any_of(items.begin(), items.end(), is_sign);
    int64_t length = 0;
    uint32_t before = 0;
    bool has_suspicious = false;
    for (const Item& item : items) {  // a stretch with a suspicious character
        if (!is_kept(item)) continue;
        if (length == 0 || code(item) != before) length = 0, has_suspicious = false;
        before = code(item);
        ++length;
        has_suspicious |= (item.flags & SUSPICIOUS) != 0;
        is_ambiguous |= length >= MIN_STRETCH && has_suspicious;
    }
    if (!is_ambiguous) return;
    counts[2] = squeeze(items, out, true, 2, merged, is_kept);
    counts[3] = squeeze(items, out, false, 2, [](const Item& item) { return item.code; },
                        [&](const Item& item) { return is_kept(item) && !is_sign(item); });
}

}  // namespace

// Writes the readings of a plain text in ASCII or UTF-32, one behind the other, and how long each is, or -1 if there is none.
extern "C" void unmask_words(const void* text, int64_t char_bytes, int64_t size, const uint8_t* table, const uint32_t* letters,
                             int64_t letter_count, uint32_t* codes, int32_t* indices, int64_t* counts) {
    if (char_bytes == 1)
        run(static_cast<const uint8_t*>(text), size, table, letters, letter_count, codes, indices, counts);
    else
        run(static_cast<const uint32_t*>(text), size, table, letters, letter_count, codes, indices, counts);
}
