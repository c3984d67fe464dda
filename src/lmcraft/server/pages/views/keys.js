// Which letter or digit was pressed, on any keyboard: on a Russian one the key B writes another letter, on a French one digits need Shift.

/** "a" to "z", "0" to "9", or what the key is called. */
export function readKey({ key, code }) {
  if (/^[a-z0-9]$/i.test(key)) return key.toLowerCase();
  if (key === "/") return key; // on a German keyboard it is Shift and 7
  const isLetter = /^\p{L}$/u.test(key);
  return (isLetter && /^Key([A-Z])$/.exec(code)?.[1].toLowerCase()) || /^(?:Digit|Numpad)(\d)$/.exec(code)?.[1] || key;
}
