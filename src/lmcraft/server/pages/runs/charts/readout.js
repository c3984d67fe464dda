// The values at the pointer, in a box inside the chart.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { formatValue, formatX } from "../format.js";
import { AXES } from "../state/metrics.js";
import { unproject } from "./scale.js";
import { buildSwatch, styleSwatch } from "./swatch.js";

const MAX_ROWS = 6;
const MAX_PIXELS_OFF = 3;

/** "Step 1,200", "After 2 h 5 min": an x value in words. */
export const nameX = ({ options: { axis, isLogX } }, x) => t(AXES[axis].at, { value: formatX(axis, unproject(x, isLogX)) });

export const valueOf = (chart, y) => formatValue(unproject(y, chart.grid.options.isLogY), chart.spec.metric.unit);

export class Readout {
  constructor() {
    this.node = el("div", { class: "readout", "aria-hidden": "true", hidden: true });
    this.title = el("strong");
    this.rows = Array.from({ length: MAX_ROWS }, () => buildRow());
    this.node.append(this.title, ...this.rows.map(({ node }) => node));
  }

  /** points: of Chart.read; of many, the first are shown. */
  show(chart, hover, points) {
    this.node.hidden = !points.length;
    if (!points.length) return;
    this.title.textContent = nameX(chart.grid, hover.x);
    this.rows.forEach((row, number) => {
      const point = points[number];
      row.node.hidden = !point;
      if (point) fillRow(row, chart, point, hover.x);
    });
    const isLeft = chart.toAcross(hover.x) > chart.area.left + chart.area.width / 2;
    this.node.classList.toggle("left", isLeft);
  }
}

function buildRow() {
  const swatch = buildSwatch();
  const name = el("span", { class: "name", dir: "auto" });
  const value = el("span", { class: "value" });
  return { node: el("div", {}, swatch, name, value), swatch, name, value };
}

/** The value, and where it was measured if that is not at the pointer. */
function fillRow({ swatch, name, value }, chart, { line, index, y }, x) {
  styleSwatch(swatch, line.style);
  name.textContent = line.title();
  const own = line.curve.x[index];
  const isElsewhere = Math.abs(chart.toAcross(own) - chart.toAcross(x)) > MAX_PIXELS_OFF;
  value.textContent = isElsewhere ? t("valueAt", { value: valueOf(chart, y), at: nameX(chart.grid, own) }) : valueOf(chart, y);
}
