// A verdict on the way: what is chosen and written, what is missing, and undoing the last choice.

const EMPTY = { label: "", rule: "", comment: "", correction: "", contains: "", excludes: "", isSeen: false };

export class Draft {
  /** guideline: the version that the item is judged by; saved: of an earlier visit, or null; changed(fields) is called to save it. */
  constructor(item, guideline, saved, changed) {
    Object.assign(this, { item, guideline, changed, choices: [] });
    this.fields = { ...EMPTY, ...saved };
    if (!this.outcomes.has(this.fields.label)) this.fields.label = "";
    if (!guideline.rules.some(({ id }) => id === this.fields.rule)) this.fields.rule = ""; // the guideline has changed
    this.fields.isSeen ||= !item.sensitive;
  }

  get outcomes() {
    return new Map(this.guideline.labels.map(({ name, outcome }) => [name, outcome]));
  }

  /** A label or a rule. */
  choose(name, value) {
    if (this.fields[name] === value) return;
    this.choices.push([name, this.fields[name]]);
    this.set({ [name]: value });
  }

  get canUndo() {
    return this.choices.length > 0;
  }

  undo() {
    const [name, value] = this.choices.pop();
    this.set({ [name]: value });
  }

  set(fields) {
    Object.assign(this.fields, fields);
    const isEmpty = Object.entries(EMPTY).every(([name, value]) => name === "isSeen" || this.fields[name] === value);
    this.changed(isEmpty ? null : this.fields);
  }

  /** What the verdict needs next: "text" (nobody has looked at it), "label", "rule", or "". */
  get missing() {
    return [!this.fields.isSeen && "text", !this.fields.label && "label", !this.fields.rule && "rule"].find(Boolean) || "";
  }

  /** Whether the reviewer may write what a better answer is. */
  get takesCorrection() {
    const { subject, kind } = this.item;
    return subject === "answer" && kind === "label" && this.outcomes.get(this.fields.label) === "reject";
  }

  /** The error that the server would report about texts that no answer can meet, or null. */
  get conflict() {
    const { correction, contains, excludes } = this.build("", 0);
    const answer = normalize(correction);
    const report = (rule, texts) => ({ code: "contradictory_texts", values: { rule, ...texts } });
    for (const text of contains) {
      const other = excludes.find((excluded) => normalize(text).includes(normalize(excluded)));
      if (other) return report("both", { contains: text, excludes: other });
      if (answer && !answer.includes(normalize(text))) return report("lacks", { contains: text });
    }
    const excluded = answer && excludes.find((text) => answer.includes(normalize(text)));
    return excluded ? report("has", { excludes: excluded }) : null;
  }

  /** The fields of the request. */
  build(id, seconds) {
    const { label, rule, comment, correction, contains, excludes } = this.fields;
    const improvement = this.takesCorrection
      ? { correction: clean(correction), contains: splitLines(contains), excludes: splitLines(excludes) }
      : { correction: "", contains: [], excludes: [] };
    return { claim: this.item.claim.token, id, label, rule, comment: clean(comment), ...improvement, seconds };
  }
}

/** The server takes no NUL and no unpaired surrogates. */
const clean = (text) => text.replaceAll("\0", "\ufffd").toWellFormed().trim();

const splitLines = (text) => [...new Set(text.split("\n").map(clean).filter(Boolean))];

/** As the tests compare texts: without case, forms of characters and spacing. */
const normalize = (text) => text.normalize("NFKC").toLowerCase().split(/\s+/u).filter(Boolean).join(" ");
