// The settings and rules in the text of a guideline, and how they differ between two versions.

// A rule is a heading of the second level that begins with an id, with all that follows up to the next heading of the first or second level.
const RULE = /^##[ \t]+([A-Z]{1,4}[0-9]{1,3}(?:\.[0-9]{1,3})*)(?:[:.：、]?[ \t\u3000]+(.+?))?[ \t]*#*[ \t]*$/;
const HEADING = /^##?[ \t]/;
const CODE_FENCE = /^ {0,3}(`{3,}|~{3,})/;
const FRONT_MATTER = /^\ufeff?\+\+\+[ \t]*\n([^]*?)^\+\+\+[ \t]*$/m;
const MAX_COMPARISONS = 4_000_000; // of words; longer rules are shown as removed and added

/** {settings, otherText, rules: [{id, title, text}]} of a guideline in one language; settings: the front matter, or "". */
function parseGuideline(source) {
  const text = source.replace(/\r\n?/g, "\n");
  const frontMatter = text.match(FRONT_MATTER);
  const rules = [];
  const others = [];
  let fence = null;
  let rule = null;
  for (const line of text.slice(frontMatter?.[0].length ?? 0).split("\n")) {
    const mark = line.match(CODE_FENCE)?.[1];
    if (fence === null && HEADING.test(line)) {
      const match = line.match(RULE);
      rule = match ? { id: match[1], title: match[2] ?? "", lines: [] } : null;
      if (rule) rules.push(rule);
      else others.push(line);
      continue;
    }
    if (mark && fence === null) fence = mark;
    else if (mark && mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) fence = null;
    (rule?.lines ?? others).push(line);
  }
  const texts = rules.map(({ id, title, lines }) => ({ id, title, text: lines.join("\n").trim() }));
  return { settings: frontMatter?.[1].trim() ?? "", otherText: others.join("\n").trim(), rules: texts };
}

/**
 * What differs: [{id, title, change: "added" | "removed" | "changed", parts: [[kind, text], ...]}]; kind: "same", "old" or "new".
 * id: of a rule; or "settings" or "otherText", which are compared if both sources have them.
 */
export function compareGuidelines(oldSource, newSource) {
  const [before, after] = [oldSource, newSource].map(parseGuideline);
  const compare = (id) => before[id] !== after[id] && { id, title: "", change: "changed", parts: compareTexts(before[id], after[id]) };
  return [before.settings && after.settings && compare("settings"), compare("otherText"), ...compareRules(before.rules, after.rules)].filter(Boolean);
}

function compareRules(oldRules, newRules) {
  const before = new Map(oldRules.map((rule) => [rule.id, rule]));
  const changes = [];
  for (const { id, title, text } of newRules) {
    const old = before.get(id);
    before.delete(id);
    if (!old) changes.push({ id, title, change: "added", parts: [["new", text]] });
    else if (join(old) !== join({ title, text })) changes.push({ id, title, change: "changed", parts: compareTexts(join(old), join({ title, text })) });
  }
  const removed = [...before.values()].map(({ id, title, text }) => ({ id, title, change: "removed", parts: [["old", text]] }));
  return [...changes, ...removed];
}

const join = ({ title, text }) => `${title}\n\n${text}`;

/** The words of both texts in order: those of both, of the old and of the new one. */
function compareTexts(oldText, newText) {
  const [before, after] = [splitWords(oldText), splitWords(newText)];
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const middle = compareWords(before.slice(start, before.length - end), after.slice(start, after.length - end));
  const parts = [["same", before.slice(0, start).join("")], ...middle, ["same", before.slice(before.length - end).join("")]];
  return mergeParts(parts.filter(([, text]) => text));
}

/** The longest common subsequence of the words, and what lies between. */
function compareWords(before, after) {
  if (before.length * after.length > MAX_COMPARISONS) return [["old", before.join("")], ["new", after.join("")]];
  const width = after.length + 1;
  const lengths = new Uint16Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = before[i] === after[j] ? lengths[(i + 1) * width + j + 1] + 1 : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  const parts = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) parts.push(["same", before[(j += 1, i++)]]);
    else if (j >= after.length || (i < before.length && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1])) parts.push(["old", before[i++]]);
    else parts.push(["new", after[j++]]);
  }
  return parts;
}

/** Words and what is between them; Chinese has words without spaces. */
const splitWords = (text) => [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)].map(({ segment }) => segment);

function mergeParts(parts) {
  const merged = [];
  for (const [kind, text] of parts) {
    if (merged.at(-1)?.[0] === kind) merged.at(-1)[1] += text;
    else merged.push([kind, text]);
  }
  return merged;
}
