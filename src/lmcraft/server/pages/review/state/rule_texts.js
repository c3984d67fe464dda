// The text of each rule of a guideline. In its Markdown, a rule is a heading of the second level that begins with the rule's id.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^##\s+(\S+)/;

/** {introduction, rules: Map of id -> Markdown}. ids: of the rules; other headings belong to the text before them. */
export function splitRules(text, ids) {
  const rules = new Map();
  const introduction = [];
  let lines = introduction;
  let fence = null;
  for (const line of text.split(/\r\n?|\n/)) {
    const mark = FENCE.exec(line)?.[1];
    if (mark && !fence) fence = mark;
    else if (mark && mark.startsWith(fence) && line.trim() === mark) fence = null;
    const id = fence || mark ? null : HEADING.exec(line)?.[1];
    if (id && ids.includes(id) && !rules.has(id)) rules.set(id, (lines = []));
    else lines.push(line);
  }
  return { introduction: introduction.join("\n").trim(), rules: new Map([...rules].map(([id, body]) => [id, body.join("\n").trim()])) };
}
