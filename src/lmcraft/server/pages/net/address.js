// The address of a view: #/NAME/REST, such as #/items/4f2a of the review page.

/** {name, path}: the view, and the decoded segments after it. */
export function readAddress() {
  const [, name = "", ...path] = location.hash.split("/").map(decodeSegment);
  return { name, path };
}

export const buildAddress = (name, ...path) => `#/${[name, ...path].map(encodeURIComponent).join("/")}`;

function decodeSegment(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // a percent sign that encodes nothing
  }
}
