// Control characters in texts of models and users.

// Characters that are invisible or reorder the text after them, so that an answer could hide or mirror text.
// The marks that right-to-left scripts need (U+200E, U+200F, joiners) are not among them, nor the tags in flags.
const CONTROL =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]|(?<!\u{1f3f4}[\u{e0020}-\u{e007e}]*)[\u{e0000}-\u{e007f}]/gu;

/** Makes control characters visible. For display only: the stored and the copied text stay unchanged. */
export function escapeControls(text) {
  return text.replace(/\r\n?/g, "\n").replace(CONTROL, (character) => {
    const code = character.codePointAt(0);
    if (code < 32) return String.fromCodePoint(0x2400 + code);
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}
