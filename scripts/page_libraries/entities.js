// In place of the package of this name, whose table is larger than all other parts of the parser: the browser has the same table.
const decoded = new Map();

/** An HTML entity such as `&amp;` as text; anything else stays as it is. */
export function decodeHTMLStrict(entity) {
  if (!/^&[a-z][a-z0-9]*;$/i.test(entity)) return entity;
  if (!decoded.has(entity)) decoded.set(entity, decode(entity));
  return decoded.get(entity);
}

// The letter before the entity keeps white space, such as `&Tab;`.
const decode = (entity) => new DOMParser().parseFromString(`<body>x${entity}`, "text/html").body.textContent.slice(1);
