// The open conversation's id in the page's URL, so that reloads and bookmarks open it again.

const HASH_PREFIX = "#c-";

export function readConversationId() {
  return location.hash.startsWith(HASH_PREFIX) ? decodeURIComponent(location.hash.slice(HASH_PREFIX.length)) : null;
}

export function writeConversationId(id) {
  const current = readConversationId();
  if (current === id) return;
  const url = id === null ? location.pathname : `${HASH_PREFIX}${encodeURIComponent(id)}`;
  // An empty new chat gets no history entry.
  history[current === null ? "replaceState" : "pushState"](null, "", url);
}
