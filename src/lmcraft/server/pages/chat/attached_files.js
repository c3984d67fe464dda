// The text files of a message. They are part of its content, before the text that the user typed, each as a code block.

const FILE = /^File: ([^\n]+)\n(`{3,})[^\n`]*\n([\s\S]*?)\n\2(?:\n+|$)/;

/** files: [{name, text}]. The content of a message with them. */
export function joinFiles(files, text) {
  return [...files.map(buildBlock), text].filter(Boolean).join("\n\n");
}

/** {files, text}: what `joinFiles` has joined. */
export function splitFiles(content) {
  const files = [];
  let text = content;
  for (let match = FILE.exec(text); match; match = FILE.exec(text)) {
    files.push({ name: match[1], text: match[3] });
    text = text.slice(match[0].length);
  }
  return { files, text };
}

/** What a message is about: the user's text, or the name of its first file. */
export function summarize(content) {
  const { files, text } = splitFiles(content);
  return text.trim() || files[0]?.name || "";
}

function buildBlock({ name, text }) {
  const longest = Math.max(0, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(Math.max(3, longest + 1));
  const language = /\.([a-z0-9]{1,10})$/i.exec(name)?.[1].toLowerCase() ?? "";
  return `File: ${name}\n${fence}${language}\n${text}\n${fence}`;
}
