// In place of the package get-east-asian-width: regular expressions know the scripts of Unicode.
const WIDE = /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Bopo}\u3000-\u303f\uff00-\uffef]/u;
const AMBIGUOUS = /[\u2018\u2019\u201c\u201d\u{e0100}-\u{e01ef}]/u;

export function eastAsianWidthType(code) {
  const character = String.fromCodePoint(code);
  if (AMBIGUOUS.test(character)) return "ambiguous";
  return WIDE.test(character) ? "wide" : "narrow";
}
