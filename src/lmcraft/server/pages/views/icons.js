// Icons, and buttons that show one.

import { el } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

// SVG paths, drawn as strokes on a 24 x 24 grid.
const ICONS = {
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M8 8h8v8H8z",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  regenerate: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7.5",
  good: "M7 21V11l4-8c1.7 0 2.5 1.2 2.2 2.9L12.6 9H19a2 2 0 0 1 2 2.3l-1.2 7.2A3 3 0 0 1 16.8 21zM3 11h4v10H3z",
  bad: "M17 3v10l-4 8c-1.7 0-2.5-1.2-2.2-2.9l.6-3.1H5a2 2 0 0 1-2-2.3l1.2-7.2A3 3 0 0 1 7.2 3zM21 13h-4V3h4z",
  tokens: "M3 6h7v5H3zM14 6h7v5h-7zM3 15h11v4H3zM18 15h3v4h-3z",
  prompt: "M8 8l-4 4 4 4M16 8l4 4-4 4M13.5 5l-3 14",
  continue: "M5 12h14M13 6l6 6-6 6",
  sliders: "M4 8h9M19 8h1M4 16h1M11 16h9M13 8a3 3 0 1 0 6 0a3 3 0 1 0-6 0M5 16a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
  compareVersions: "M4 5h6v14H4zM14 5h6v14h-6z",
  pin: "M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.5 3.5 0 0 1 5 5l-8.5 8.5a1.8 1.8 0 0 1-2.6-2.6L14.5 7.5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  upload: "M12 15V4M7 9l5-5 5 5M4 16v4h16v-4",
  download: "M12 4v11M7 10l5 5 5-5M4 16v4h16v-4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  sun: "M8 12a4 4 0 1 0 8 0a4 4 0 1 0-8 0M12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  system: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0-16 0M12 4v16M12 8h7M12 12h8M12 16h7",
  shield: "M12 3l8 3v6c0 4.5-3.3 7.7-8 9-4.7-1.3-8-4.5-8-9V6zM9 12l2.2 2.2L15.5 10",
  help: "M3 12a9 9 0 1 0 18 0a9 9 0 1 0-18 0M9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1 1-1.1 1.8M12 16.8v.2",
  bottom: "M12 5v14M6 13l6 6 6-6",
  previous: "M14.5 6l-6 6 6 6",
  next: "M9.5 6l6 6-6 6",
  report: "M5 21V4M5 5c5-3 9 3 14 0v9c-5 3-9-3-14 0",
  chat: "M4 5h16v11H10l-4 4v-4H4z",
  eye: "M2.5 12c5-8 14-8 19 0c-5 8-14 8-19 0zM9 12a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
  eyeOff: "M4 4l16 16M9.9 5.8c4.3-1 8.7 1 11.6 6.2a16 16 0 0 1-3 3.7M6.2 7.7A16 16 0 0 0 2.5 12c3.2 5.1 7.9 7 12.3 5.8M10 10a3 3 0 0 0 4 4",
  pause: "M8 5v14M16 5v14",
  book: "M12 6c-2-1.5-5-2-8-2v14c3 0 6 .5 8 2c2-1.5 5-2 8-2V4c-3 0-6 .5-8 2zM12 6v14",
  leaf: "M5 19c0-9 5-14 15-14c0 10-5 15-13 13M5 21c1-5 4-8 8-10",
  alert: "M12 4L2.5 20h19zM12 10v4M12 17v.2",
  play: "M8 5l11 7-11 7z",
  square: "M7 7h10v10H7z",
  bolt: "M13 3L6 13h5l-1 8 8-11h-6z",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 10v9",
  expand: "M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7",
};

export function buildIcon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon. Its label is the tooltip and the name for screen readers. */
export function buildIconButton(name, label, onclick, attributes = {}) {
  return el("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...attributes }, buildIcon(name));
}

export function setIcon(button, name) {
  button.querySelector("svg")?.remove();
  button.prepend(buildIcon(name));
}

/** Draws the icons that index.html names with data-icon. */
export function drawButtonIcons() {
  for (const button of document.querySelectorAll("button[data-icon]")) setIcon(button, button.dataset.icon);
}
