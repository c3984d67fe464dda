// Titles of conversations.

const MAX_TITLE_CHARACTERS = 60;

/** The first line of a question, cut between two words if it is long. */
export function buildTitle(text) {
  const line = text.trim().split("\n", 1)[0].replace(/\s+/g, " ");
  if (line.length <= MAX_TITLE_CHARACTERS) return line;
  let end = 0;
  for (const { index, segment } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(line.slice(0, 2 * MAX_TITLE_CHARACTERS))) {
    if (index + segment.length > MAX_TITLE_CHARACTERS) break;
    end = index + segment.length;
  }
  return `${(line.slice(0, end) || line.slice(0, MAX_TITLE_CHARACTERS)).trimEnd()}…`;
}
