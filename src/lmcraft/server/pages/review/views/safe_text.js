// Texts under judgment: anybody may have written them. They become text nodes and nothing else, so a link is no link and an image
// is not loaded. What reorders text is shown by its code, lines keep their own direction, and a long text is drawn in pieces.

import { formatNumber, t } from "../../strings.js";
import { el, escapeControls } from "../../views/dom.js";

const MAX_PIECE_CHARACTERS = 3000; // off screen, a piece is not laid out
const MIN_SPLIT_CHARACTERS = 2 * MAX_PIECE_CHARACTERS;
const PIXELS_PER_CHARACTER = 0.3; // a guess at the height of a piece that has not been laid out
const TOLERANCE = 1.2; // a text is not cut for a few characters
// Characters that show nothing. Joiners are among them only between Latin letters: other scripts and emoji need them.
const INVISIBLE = /[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0]|(?<=[a-z0-9])[\u200c\u200d](?=[a-z0-9])/giu;

/** An element with the text; past `maxCharacters` the rest is shown on demand. */
export function buildSafeText(text, maxCharacters) {
  const node = el("div", { class: "safe-text" });
  const isCut = text.length > TOLERANCE * maxCharacters;
  const shown = isCut ? text.slice(0, findCut(text, maxCharacters)) : text;
  const body = el("div", { class: "pieces" }, ...buildPieces(shown));
  node.append(body);
  if (isCut) node.append(buildMore(body, text, shown.length));
  const count = text.match(INVISIBLE)?.length ?? 0;
  if (count) node.append(buildInvisibleNote(node, text, count));
  if (!text.trim()) body.replaceChildren(el("p", { class: "note" }, t("emptyText")));
  return node;
}

function buildMore(body, text, start) {
  const showRest = () => {
    body.append(...buildPieces(text.slice(start)));
    button.remove();
    body.tabIndex = -1;
    body.focus({ preventScroll: true });
  };
  const button = el("button", { type: "button", class: "quiet more", onclick: showRest }, t("showRest", { n: formatNumber(text.length - start) }));
  return button;
}

/** A note that the text has invisible characters, and a switch that shows them. */
function buildInvisibleNote(node, text, count) {
  const toggle = () => {
    const isShown = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!isShown));
    node.querySelector(".more")?.remove();
    const changed = isShown ? text : text.replace(INVISIBLE, (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
    node.querySelector(".pieces").replaceChildren(...buildPieces(changed));
  };
  const button = el("button", { type: "button", class: "link", "aria-pressed": "false", onclick: toggle }, t("showInvisible"));
  return el("p", { class: "note invisible" }, `${t("invisible", { n: formatNumber(count) })} `, button);
}

function buildPieces(text) {
  const pieces = splitText(escapeControls(text));
  return pieces.map((piece) => {
    const node = el("div", { class: "piece" }, piece);
    if (pieces.length > 1) {
      node.classList.add("lazy");
      node.style.containIntrinsicBlockSize = `auto ${Math.ceil(piece.length * PIXELS_PER_CHARACTER)}px`;
    }
    return node;
  });
}

/** Pieces that end with a line, if their lines are not too long. The line breaks between them are dropped: pieces are blocks. */
function splitText(text) {
  const pieces = [];
  let start = 0;
  while (text.length - start > MIN_SPLIT_CHARACTERS) {
    const end = findCut(text, start + MAX_PIECE_CHARACTERS);
    pieces.push(text.slice(start, text[end - 1] === "\n" ? end - 1 : end));
    start = end;
  }
  return [...pieces, text.slice(start)];
}

/** Where to cut near `position`: after a line, else after a word, else between two characters. */
function findCut(text, position) {
  const from = Math.floor(position / 2);
  const start = Math.max(from, position - MAX_PIECE_CHARACTERS / 2);
  for (const separator of ["\n", " "]) {
    const index = text.lastIndexOf(separator, position - 1);
    if (index >= start) return index + 1;
  }
  let end = position;
  while (end < text.length && end < position + 100 && /[\udc00-\udfff\p{M}\u200d\ufe0f]/u.test(text[end])) end += 1;
  return end;
}

const LETTERS = "aecsnoruvz";
const CAPITALS = "AECSNORUVZ";

/** Nonsense of the same shape, to be blurred in place of the text: not even a browser's search finds the text then. */
export function scramble(text, maxCharacters) {
  let n = 0;
  const pick = (letters) => letters[(n += 7) % letters.length];
  return escapeControls(text.slice(0, maxCharacters).toWellFormed()).replace(/\p{L}|\p{N}|\p{M}|\p{S}/gu, (character) => {
    if (/\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}/u.test(character)) return pick("文字内容隐藏");
    if (/\p{M}/u.test(character)) return "";
    return pick(/\p{Lu}/u.test(character) ? CAPITALS : LETTERS);
  });
}
