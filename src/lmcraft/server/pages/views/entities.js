// HTML entities in Markdown, such as &lt; and &#8212;: the names that models write, and all numbers.

const NAMES = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", ensp: "\u2002", emsp: "\u2003", thinsp: "\u2009",
  hellip: "…", mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", bull: "•", middot: "·",
  copy: "©", reg: "®", trade: "™", sect: "§", para: "¶", deg: "°", micro: "µ", euro: "€", pound: "£", yen: "¥", cent: "¢",
  times: "×", divide: "÷", minus: "−", plusmn: "±", le: "≤", ge: "≥", ne: "≠", asymp: "≈", equiv: "≡", infin: "∞", radic: "√",
  sum: "∑", prod: "∏", int: "∫", part: "∂", forall: "∀", exist: "∃", isin: "∈", cap: "∩", cup: "∪", sub: "⊂", sup: "⊃",
  larr: "←", rarr: "→", uarr: "↑", darr: "↓", harr: "↔", lArr: "⇐", rArr: "⇒", hArr: "⇔", frac12: "½", frac14: "¼", frac34: "¾",
  sup1: "¹", sup2: "²", sup3: "³", alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", theta: "θ", lambda: "λ", mu: "μ",
  pi: "π", sigma: "σ", tau: "τ", phi: "φ", omega: "ω", Delta: "Δ", Sigma: "Σ", Omega: "Ω", check: "✓", zwj: "\u200d", zwnj: "\u200c",
};
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z][a-zA-Z0-9]{1,30}));/y;

/** The entity that begins at `i`, as {text, end}, or null. */
export function parseEntity(source, i) {
  ENTITY.lastIndex = i;
  const match = ENTITY.exec(source);
  if (!match) return null;
  const [, decimal, hexadecimal, name] = match;
  const text = name === undefined ? fromCode(decimal ? parseInt(decimal, 10) : parseInt(hexadecimal, 16)) : Object.hasOwn(NAMES, name) && NAMES[name];
  return text ? { text, end: ENTITY.lastIndex } : null;
}

/** A text with its entities replaced. */
export function decodeEntities(source) {
  let decoded = "";
  for (let i = 0; i < source.length; ) {
    const entity = source[i] === "&" ? parseEntity(source, i) : null;
    decoded += entity ? entity.text : source[i];
    i = entity ? entity.end : i + 1;
  }
  return decoded;
}

/** The character of a code point; U+FFFD if it has none. */
function fromCode(code) {
  const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : "\ufffd";
}
