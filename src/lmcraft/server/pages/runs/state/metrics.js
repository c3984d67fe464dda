// What a run records: how its quantities are called, in which units they are shown, and which of them share a chart.

// name: {label: key of a string, unit, divisor: what a value is divided by, isLog: where a logarithmic scale says more}
const METRICS = {
  __proto__: null, // a name from elsewhere is looked up in it
  loss: { label: "trainingLoss", unit: "perToken" },
  validation_loss: { label: "validationLoss", unit: "perToken" },
  tokens_per_second: { label: "speed", unit: "tokensPerSecond" },
  peak_memory: { label: "memory", unit: "gibibytes", divisor: 2 ** 30 },
  joules: { label: "energy", unit: "wattHours", divisor: 3600 },
  learning_rate: { label: "learningRate" },
  gradient_norm: { label: "gradientNorm" },
  share_of_peak: { label: "shareOfPeak", unit: "percent", divisor: 0.01 },
  bits_per_byte: { label: "bitsPerByte" },
};
const SOURCE_PREFIX = "validation_loss/";
const TASK_PREFIX = "tasks/";
const NOT_DRAWN = ["tokens", "seconds", "task_seconds"];

// What the x axis shows. series: the quantity of a run that it is read from (null: the step itself); label, at: keys of strings.
export const AXES = {
  __proto__: null, // a name from elsewhere is looked up in it
  step: { label: "axisStep", at: "atStep", series: null },
  tokens: { label: "axisTokens", at: "atTokens", series: "tokens" },
  time: { label: "axisTime", at: "atTime", series: "seconds" },
  energy: { label: "axisEnergy", at: "atEnergy", series: "joules" },
};

/** {label, suffix, unit, divisor} of a quantity; label: key of a string or null, suffix: what to write after it or instead. */
export function describeMetric(name) {
  if (name.startsWith(SOURCE_PREFIX)) return { label: null, suffix: name.slice(SOURCE_PREFIX.length), unit: "perToken", divisor: 1 };
  if (name.startsWith(TASK_PREFIX)) return { label: null, suffix: name.slice(TASK_PREFIX.length), unit: null, divisor: 1 };
  const { label = null, unit = null, divisor = 1 } = METRICS[name] ?? {};
  return { label, suffix: label ? "" : name.replaceAll("_", " "), unit, divisor };
}

/** The charts of one run: [{id, title: key of a string or null, name, names}] in the order in which they are shown. */
export function groupForRun(names) {
  const shown = names.filter((name) => !NOT_DRAWN.includes(name));
  const groups = [{ id: "loss", title: "loss", names: shown.filter((name) => ["loss", "validation_loss"].includes(name)) }];
  const sources = shown.filter((name) => name.startsWith(SOURCE_PREFIX));
  if (sources.length > 1) groups.push({ id: "sources", title: "lossBySource", names: sources });
  const figures = new Map(); // of tasks: the same figure of several tasks is one chart
  for (const name of shown.filter((name) => name.startsWith(TASK_PREFIX))) {
    const figure = name.split("/").at(-1);
    figures.set(figure, [...(figures.get(figure) ?? []), name]);
  }
  const ordered = [...Object.keys(METRICS).slice(2), ...shown.filter((name) => !METRICS[name] && !name.includes("/"))];
  for (const name of ordered.filter((name) => shown.includes(name))) groups.push({ id: name, names: [name] });
  for (const [figure, members] of figures) groups.push({ id: `tasks/${figure}`, title: "taskFigure", figure, names: members });
  return groups.filter((group) => group.names.length);
}

/** The charts of several runs: one for each quantity. */
export function groupForComparison(names) {
  const order = Object.keys(METRICS);
  const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  const shown = names.filter((name) => !NOT_DRAWN.includes(name));
  return shown.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)).map((name) => ({ id: name, names: [name] }));
}
