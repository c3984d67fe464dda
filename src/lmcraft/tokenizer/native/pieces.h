// Cuts a text into the pieces within which BPE merges, as the regular expressions of known tokenizers do.
#pragma once

#include <cstdint>

namespace pieces {

// What a code point is to the patterns, two bits; and flags, as in `classes.py`.
enum Class : uint8_t { OTHER = 0, LETTER = 1, NUMBER = 2, SPACE = 3, CLASS_MASK = 3, DIGIT = 4, COMPOSES = 8 };

// The patterns; D is the number of digits in a piece, and 0 stands for any number.
enum Style : int32_t {
    GPT2 = 0,    // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    CL100K = 1,  // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,D}| ?[^\s\p{L}\p{N}]+[\r\n]*
                 // |\s*[\r\n]+|\s+(?!\S)|\s+
};

struct Text {
    const uint8_t* end;      // of the text, in valid UTF-8
    const uint8_t* classes;  // of all code points
    int32_t digits;

    // The code point at p, which is before the end, and its length in bytes.
    uint32_t decode(const uint8_t* p, int& length) const {
        uint32_t first = p[0];
        if (first < 0x80) return length = 1, first;
        if (first < 0xE0) return length = 2, (first & 0x1F) << 6 | (p[1] & 0x3F);
        if (first < 0xF0) return length = 3, (first & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F);
        return length = 4, (first & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F);
    }

    uint8_t flags(const uint8_t* p, int& length) const { return classes[decode(p, length)]; }

    // The end of the run of characters of a class that begins at p, with at most `count` of them.
    const uint8_t* skip(const uint8_t* p, uint8_t wanted, int64_t count = INT64_MAX) const {
        for (int length; p < end && count > 0 && (flags(p, length) & CLASS_MASK) == wanted; count--) p += length;
        return p;
    }

    static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

    // The end of 's, 't, 're, 've, 'm, 'll or 'd at p, where an apostrophe is; p if there is none.
    const uint8_t* contraction(const uint8_t* p, bool any_case) const {
        if (end - p < 2) return p;
        uint8_t a = any_case ? lower(p[1]) : p[1];
        if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
        if (end - p < 3) return p;
        uint8_t b = any_case ? lower(p[2]) : p[2];
        if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return p + 3;
        if (any_case && p[1] == 0xC5 && p[2] == 0xBF) return p + 3;  // U+017F, a long s
        return p;
    }

    // \s+(?!\S)|\s+: the white space at p, without its last character if a character follows that is none.
    const uint8_t* white_space(const uint8_t* p) const {
        const uint8_t *last = p, *q = p;
        for (int length; q < end && (flags(q, length) & CLASS_MASK) == SPACE; q += length) last = q;
        return q == end || last == p ? q : last;
    }

    const uint8_t* next_gpt2(const uint8_t* p) const {
        if (*p == '\'') {
            if (const uint8_t* q = contraction(p, false); q != p) return q;
        }
        const uint8_t* q = p + (*p == ' ');
        int length;
        if (q < end) {
            uint8_t kind = flags(q, length) & CLASS_MASK;
            if (kind != SPACE) return skip(q + length, kind);
        }
        return white_space(p);
    }

    const uint8_t* next_cl100k(const uint8_t* p) const {
        if (*p == '\'') {
            if (const uint8_t* q = contraction(p, true); q != p) return q;
        }
        int length, next_length;
        uint8_t kind = flags(p, length) & CLASS_MASK;
        if (kind == LETTER) return skip(p + length, LETTER);
        if (kind == NUMBER) return skip(p, NUMBER, digits ? digits : INT64_MAX);
        const uint8_t* q = p + length;
        if (*p != '\r' && *p != '\n' && q < end && (flags(q, next_length) & CLASS_MASK) == LETTER)
            return skip(q + next_length, LETTER);
        q = p + (*p == ' ');
        if (q < end && (flags(q, length) & CLASS_MASK) == OTHER) {
            q = skip(q + length, OTHER);
            while (q < end && (*q == '\r' || *q == '\n')) q++;
            return q;
        }
        const uint8_t* newline = nullptr;
        for (q = p; q < end && (flags(q, length) & CLASS_MASK) == SPACE; q += length)
            if (*q == '\r' || *q == '\n') newline = q + 1;
        return newline ? newline : white_space(p);
    }
};

}  // namespace pieces
