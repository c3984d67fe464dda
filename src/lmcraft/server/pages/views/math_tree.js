// TeX as a tree of MathML elements, {tag, attributes, style, children}, for math.js. Runs in a worker.

import { buildMath } from "../vendor/temml.js";

const OPTIONS = { throwOnError: true, strict: false, trust: false, maxSize: [25, 25], maxExpand: 1000 };

/** Throws if the TeX is wrong. Mathematics in running text may wrap after a relation or an operator, as in TeX. */
export function buildMathTree(tex, display) {
  return convert(buildMath(tex, { ...OPTIONS, displayMode: display, wrap: display ? "none" : "tex" }))[0];
}

/** The elements and texts of a node; fragments are replaced by their children. */
function convert(node) {
  if (typeof node.text === "string") return [node.text];
  const children = node.children.flatMap(convert);
  const { type, attributes = {}, style = {} } = node;
  const names = (node.classes ?? []).filter(Boolean).join(" ");
  if (!type && !names) return children;
  return [{ tag: type ?? "mrow", attributes: names ? { ...attributes, class: names } : attributes, style, children }];
}
