// Rules of the parser for mathematics: `\(..\)` and `$..$` in running text; `\[..\]`, `$$..$$` and environments of their own.
// The tokens `math_inline` and `math_block` have the TeX as their content, and in `meta` {source, display, closed}.

const DISPLAY_MARKS = [
  ["$$", "$$"],
  ["\\[", "\\]"],
];
const ENVIRONMENT = /^\\begin\{((?:equation|align|gather|multline|alignat|flalign)\*?)\}/;
const MAX_LINES = 200; // of a block
const AFTER_CLOSE = /^[\s.,;:!?。，；：！？]*$/; // what may follow the closing mark of a block in its line
// "$5 and 6$" is money: a number, and a word after it.
const MONEY = /^[\d.,]+\s+[A-Za-z]{2,}/;

export function addMathRules(parser) {
  parser.block.ruler.before("fence", "math_block", parseBlock, { alt: ["paragraph", "reference", "blockquote", "list"] });
  parser.inline.ruler.before("escape", "math_inline", parseInline);
}

function parseBlock(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false; // indented code
  const first = state.src.slice(state.bMarks[startLine] + state.tShift[startLine], state.eMarks[startLine]);
  const opening = readOpening(first);
  if (!opening) return false;
  const lines = readLines(state, startLine, endLine, first.slice(opening.open.length), opening);
  if (!lines) return false;
  if (silent) return true;
  const token = state.push("math_block", "", 0);
  token.content = opening.environment ? first.slice(0, opening.open.length) + lines.content + opening.close : lines.content;
  token.meta = { source: state.getLines(startLine, lines.end, state.blkIndent, false), display: true, closed: lines.closed };
  token.map = [startLine, lines.end];
  state.line = lines.end;
  return true;
}

function readOpening(line) {
  const environment = ENVIRONMENT.exec(line);
  if (environment) return { open: environment[0], close: `\\end{${environment[1]}}`, environment: true };
  const marks = DISPLAY_MARKS.find(([open]) => line.startsWith(open));
  return marks && { open: marks[0], close: marks[1] };
}

/**
 * The lines up to the closing mark, as {content, end, closed}; or null if this is no block: if text follows the closing mark in its
 * line, or if a blank line or the end comes before it. An opening mark that is alone in its line begins a block like a fence,
 * which may have blank lines and remain open; so what a block is never depends on lines after the next blank one.
 */
function readLines(state, startLine, endLine, first, { close, environment }) {
  const isFence = environment || !first.trim();
  const lines = [];
  const leaveOpen = (end) => (isFence ? { content: lines.join("\n"), end, closed: false } : null);
  for (let line = startLine; line < endLine; line += 1) {
    const isBlank = line > startLine && state.isEmpty(line);
    if ((isBlank && !isFence) || line - startLine > MAX_LINES) return null;
    if (line > startLine && !isBlank && state.sCount[line] < state.blkIndent) return leaveOpen(line);
    const text = line === startLine ? first : state.getLines(line, line + 1, state.blkIndent, false);
    const index = text.indexOf(close);
    if (index < 0) {
      lines.push(text);
      continue;
    }
    if (!AFTER_CLOSE.test(text.slice(index + close.length))) return null;
    lines.push(text.slice(0, index));
    return { content: lines.join("\n"), end: line + 1, closed: true };
  }
  return leaveOpen(endLine);
}

function parseInline(state, silent) {
  const { src, pos } = state;
  const span = src[pos] === "\\" ? readBackslash(state) : src[pos] === "$" ? readDollar(state) : null;
  if (!span) return false;
  if (!silent) {
    const token = state.push("math_inline", "", 0);
    token.content = src.slice(span.start, span.close);
    token.meta = { source: src.slice(pos, span.end), display: span.display, closed: true };
  }
  state.pos = span.end;
  return true;
}

// The mathematics that begins at `state.pos`, as {start, close, end, display}; or null.

function readBackslash(state) {
  const mark = state.src[state.pos + 1];
  if (mark === "(") return findClose(state, "\\)", false);
  return mark === "[" ? findClose(state, "\\]", true) : null;
}

function readDollar(state) {
  const { src, pos, posMax } = state;
  if (src[pos + 1] === "$") return findClose(state, "$$", true);
  if (/[\w$]/.test(src[pos - 1] ?? "") || /^\s|^$/.test(src[pos + 1] ?? "")) return null;
  for (let close = src.indexOf("$", pos + 1); close > 0 && close < posMax; close = src.indexOf("$", close + 1)) {
    if (src[close - 1] === "\\") continue;
    if (/\s/.test(src[close - 1]) || /[\w$]/.test(src[close + 1] ?? "") || MONEY.test(src.slice(pos + 1, close))) return null;
    return { start: pos + 1, close, end: close + 1, display: false };
  }
  return null;
}

function findClose(state, mark, display) {
  const { src, pos, posMax } = state;
  state.missingMarks ??= new Set(); // so that each is searched for once
  const close = state.missingMarks.has(mark) ? -1 : src.indexOf(mark, pos + 2);
  if (close < 0) state.missingMarks.add(mark);
  if (close < 0 || close + 2 > posMax || !src.slice(pos + 2, close).trim()) return null;
  return { start: pos + 2, close, end: close + 2, display };
}
