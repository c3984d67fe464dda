// Ids of conversations and messages. The page chooses them, so that saving one twice is the same as saving it once.

/** 32 random hexadecimal digits. */
export function createId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
