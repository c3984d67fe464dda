// Mathematics as MathML. Until it is drawn, and if the TeX is wrong, its source is shown.

import { compute } from "./background.js";
import { el, escapeControls } from "./dom.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const MAX_CHARACTERS = 20_000;
const MAX_CACHED = 5000;
const TAG = /^(?:math|m[a-z]+|semantics|none)$/;
const ATTRIBUTE = /^(?:accent|accentunder|class|column[a-z]+|depth|dir|display|displaystyle|fence|form|height|largeop|linethickness|lspace|math[a-z]+|maxsize|minsize|movablelimits|row[a-z]+|rspace|scriptlevel|separator|stretchy|symmetric|voffset|width)$/;
const ESCAPED_URL = /url\(|[\\@]/i; // no style needs them

const trees = new Map(); // display and TeX -> the tree
const unfinished = new Map(); // display and TeX -> the promise of a tree
const elements = new WeakMap(); // element -> what it shows

/** The part {tex, source, display, closed} of virtual_nodes.js. */
export const mathPart = {
  create(virtual) {
    const node = el("span", { class: virtual.display ? "math display" : "math", dir: "ltr" });
    mathPart.update(node, virtual);
    return node;
  },
  update(node, virtual) {
    const { source, display } = virtual;
    if (elements.get(node)?.source === source && elements.get(node)?.display === display) return;
    elements.set(node, virtual);
    node.className = display ? "math display" : "math";
    draw(node, virtual);
  },
};

async function draw(node, virtual) {
  const { tex, source, display, closed } = virtual;
  const key = `${display} ${tex}`;
  if (!trees.has(key)) showSource(node, source);
  if (!closed || tex.length > MAX_CHARACTERS) return;
  const tree = trees.get(key) ?? (await computeTree(key, tex, display));
  if (tree && elements.get(node) === virtual) showTree(node, tree, tex, display);
}

/** The tree, or null if the TeX is wrong. The same formula is computed once, however often it is there. */
function computeTree(key, tex, display) {
  if (!unfinished.has(key)) unfinished.set(key, compute("math", { tex, display }));
  return unfinished.get(key).then((tree) => {
    unfinished.delete(key);
    if (trees.size >= MAX_CACHED) trees.clear();
    if (tree) trees.set(key, tree);
    return tree;
  });
}

function showSource(node, source) {
  node.classList.add("source");
  node.replaceChildren(escapeControls(source));
}

function showTree(node, tree, tex, display) {
  node.classList.remove("source");
  const math = build(tree);
  math.setAttribute("alttext", tex);
  if (display) {
    math.setAttribute("display", "block");
    node.tabIndex = 0; // it may be wide, and is then scrolled with the keyboard
  }
  node.replaceChildren(math);
}

function build(tree) {
  if (typeof tree === "string") return escapeControls(tree);
  const node = document.createElementNS(MATHML, TAG.test(tree.tag) ? tree.tag : "mrow");
  for (const [name, value] of Object.entries(tree.attributes)) if (ATTRIBUTE.test(name)) node.setAttribute(name, value);
  for (const [name, value] of Object.entries(tree.style)) if (!ESCAPED_URL.test(value)) node.style[name] = value; // `style=` would violate the content security policy
  node.append(...tree.children.map(build));
  return node;
}
