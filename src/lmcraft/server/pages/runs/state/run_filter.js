// Which runs the list shows, and in which order.

/** filter: {state, text}; text: words that all occur in what is known about a run. */
export function filterRuns(runs, { state, text }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return runs.filter((run) => {
    if (state && run.state !== state) return false;
    const known = [run.name, run.id, run.kind, run.command, run.message, run.host, run.parent].join("\n").toLowerCase();
    return words.every((word) => known.includes(word));
  });
}

/** Sorted by a column of views/run_row.js; runs without a value come last in either direction. */
export function sortRuns(runs, { value, isText }, isDescending) {
  const sign = isDescending ? -1 : 1;
  const isMissing = (run) => [undefined, null, ""].includes(value(run));
  const compare = isText ? (a, b) => collator.compare(value(a), value(b)) : (a, b) => value(a) - value(b);
  return [...runs].sort((a, b) => isMissing(a) - isMissing(b) || (isMissing(a) ? 0 : sign * compare(a, b)) || collator.compare(a.id, b.id));
}

const collator = new Intl.Collator(undefined, { numeric: true });

/** The number of runs in each state. */
export function countStates(runs) {
  const counts = {};
  for (const { state } of runs) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
