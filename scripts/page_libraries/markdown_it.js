// Markdown to tokens. The page draws them itself, and finds bare links itself.
export { default as emphasisNextToCjk } from "markdown-it-cjk-friendly";
export { default as footnotes } from "markdown-it-footnote";
export { default as MarkdownIt } from "markdown-it";
