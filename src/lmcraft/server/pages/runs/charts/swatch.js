// A piece of a line as the charts draw it, beside its name.

const SVG = "http://www.w3.org/2000/svg";

/** style: {color, dash} of colors.js. */
export function buildSwatch(style) {
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "path");
  for (const [name, value] of [["viewBox", "0 0 24 8"], ["class", "swatch"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  line.setAttribute("d", "M0 4h24");
  svg.append(line);
  if (style) styleSwatch(svg, style);
  return svg;
}

export function styleSwatch(svg, { color, dash }) {
  svg.firstChild.setAttribute("stroke-dasharray", dash.join(" "));
  svg.style.stroke = `var(--curve-${color})`;
}
