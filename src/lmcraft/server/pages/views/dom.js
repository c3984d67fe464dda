// Building elements. Text from models and users always becomes text nodes, never HTML.

import { escapeControls } from "./controls.js";

export { escapeControls };

const PROPERTIES = ["value", "checked", "disabled", "hidden", "open", "indeterminate"];

export const byId = (id) => document.getElementById(id);

/** An element with attributes, properties (`value`, ...), event listeners (`onclick`, ...) and children; strings become text, with their control characters made visible. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  // Before the attributes: with dir="auto", a browser would look for the direction again with each child.
  const shown = children.filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...shown.map((child) => (typeof child === "string" ? escapeControls(child) : child)));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  return node;
}
