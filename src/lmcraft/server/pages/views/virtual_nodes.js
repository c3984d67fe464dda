// Virtual nodes, and how the document is made to show them with as few changes as possible.
//
// A virtual node is a text; or an element, {tag, attributes, children}; or a part that draws itself, {part, ...}, where `part` has
// create(virtual), which returns an element, and update(element, virtual). Parts with the same `part` are drawn by the same element.

import { el } from "./dom.js";

/** Makes the children of `parent`, which show `old`, show `current`. Neither has two texts in a row, or an empty one. */
export function updateChildren(parent, old, current) {
  const { childNodes } = parent;
  while (childNodes.length > current.length) parent.lastChild.remove();
  for (let i = 0; i < current.length; i += 1) {
    if (old[i] === current[i]) continue;
    if (i >= childNodes.length) parent.append(createNode(current[i]));
    else if (isSameKind(old[i], current[i])) updateNode(childNodes[i], old[i], current[i]);
    else childNodes[i].replaceWith(createNode(current[i]));
  }
}

function createNode(virtual) {
  if (typeof virtual === "string") return document.createTextNode(virtual);
  if (virtual.part) return virtual.part.create(virtual);
  return el(virtual.tag, virtual.attributes, ...virtual.children.map(createNode));
}

function isSameKind(old, current) {
  if (typeof old === "string" || typeof current === "string") return typeof old === typeof current;
  if (old.part || current.part) return old.part === current.part;
  return old.tag === current.tag && hasSameAttributes(old.attributes, current.attributes);
}

function hasSameAttributes(old, current) {
  const names = Object.keys(current);
  return names.length === Object.keys(old).length && names.every((name) => old[name] === current[name]);
}

function updateNode(node, old, current) {
  if (typeof current === "string") updateText(node, old, current);
  else if (current.part) current.part.update(node, current);
  else updateChildren(node, old.children, current.children);
}

/** Replaces only what follows the common beginning, so that a selection in it stays. */
function updateText(node, old, current) {
  let common = 0;
  if (current.startsWith(old)) common = old.length;
  else while (common < old.length && old[common] === current[common]) common += 1;
  node.replaceData(common, old.length - common, current.slice(common));
}
