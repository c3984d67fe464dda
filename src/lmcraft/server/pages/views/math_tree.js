// TeX as a tree of MathML elements, {tag, attributes, style, children}, for math.js. Runs in a worker.

import { buildMath } from "../vendor/temml.js";

const OPTIONS = { throwOnError: true, strict: false, trust: false, maxSize: [25, 25], maxExpand: 1000 };

export function buildMathTree(tex, display) {
  return convert(buildMath(tex, { ...OPTIONS, displayMode: display }));
}

function convert(node) {
  if (typeof node.text === "string") return node.text;
  const { attributes = {}, classes = [], style = {}, children = [] } = node;
  const names = classes.filter(Boolean).join(" ");
  return { tag: node.type ?? "mrow", attributes: names ? { ...attributes, class: names } : attributes, style, children: children.map(convert) };
}
