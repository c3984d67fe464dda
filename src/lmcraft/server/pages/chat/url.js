// Which conversation is shown stands in the address, so that a reload or a bookmark finds it.

const MARK = "#c-";

export const inAddress = () => (location.hash.startsWith(MARK) ? decodeURIComponent(location.hash.slice(MARK.length)) : null);

export function toAddress(id) {
  if (inAddress() === id) return;
  const address = id === null ? location.pathname : `${MARK}${encodeURIComponent(id)}`;
  // Coming back from a conversation to the empty page is no step to go back to.
  history[inAddress() === null ? "replaceState" : "pushState"](null, "", address);
}
