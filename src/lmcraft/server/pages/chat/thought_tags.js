// The tags around a model's thoughts. Chat completions report thoughts apart from the answer, except those of engines
// without a reasoning parser; in the text of other completions, with which an answer is continued from a token, they stand
// before it.

export class ThoughtTags {
  /** isOpen: whether the prompt has begun the thoughts. */
  constructor({ start, end }, isOpen) {
    Object.assign(this, { start, end, isOpen });
  }

  has(text) {
    return text === this.start || text === this.end;
  }

  /** {thoughts, content} of a text, as far as it is generated. */
  divide(text) {
    const trimmed = text.trimStart();
    const begins = trimmed.startsWith(this.start);
    if (!begins && !this.isOpen) return { thoughts: "", content: text };
    const begun = begins ? trimmed.slice(this.start.length) : text;
    const end = begun.indexOf(this.end);
    if (end < 0) return { thoughts: begun.trim(), content: "" };
    return { thoughts: begun.slice(0, end).trim(), content: begun.slice(end + this.end.length).trimStart() };
  }
}
