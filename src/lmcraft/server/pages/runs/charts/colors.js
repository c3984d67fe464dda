// Colors and dashes of curves. Two neighbors differ in both, so that they can be told apart without seeing colors.

const NUM_COLORS = 6; // --curve-0 ... in style/runs_charts.css
const DASHES = [[], [8, 4], [3, 3], [12, 3, 3, 3]]; // in pixels
const NUM_STYLES = NUM_COLORS * DASHES.length;
const NAMES = ["text", "muted", "line", "line-strong", "background", ...Array.from({ length: NUM_COLORS }, (_, number) => `curve-${number}`)];
const DARK = matchMedia("(prefers-color-scheme: dark)");

/** {color, dash} of the curve with this number, of so many. Among many, whose styles repeat anyway, all lines are solid. */
export function styleOf(number, count) {
  const color = number % NUM_COLORS;
  const round = Math.floor(number / NUM_COLORS);
  return { color, dash: count > NUM_STYLES ? DASHES[0] : DASHES[(color + 7 * round) % DASHES.length] };
}

/** The colors of the theme by their names, as a canvas takes them. */
export function readColors() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const colors = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colors[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colors;
}

/** Calls `changed` when the theme is another. Returns what ends that. */
export function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  DARK.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    DARK.removeEventListener("change", changed);
  };
}
