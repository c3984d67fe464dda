// Code as pieces with colors. Runs in a worker.

import { languages, tokenize } from "../vendor/prism.js";

// Names in fences that Prism does not know, and languages whose strings and comments look like those of others.
const OTHER_NAMES = {
  "c++": "cpp", "c#": "csharp", "objective-c": "c", cuda: "cpp", h: "c", hpp: "cpp", cc: "cpp", golang: "go", rs: "rust", python3: "python", pycon: "python",
  ipython: "python", sh: "bash", zsh: "bash", console: "bash", terminal: "bash", dockerfile: "bash", makefile: "bash", powershell: "bash", node: "javascript", mjs: "javascript",
  jsonc: "json", json5: "json", jsonl: "json", vue: "markup", conf: "ini", cfg: "ini", mysql: "sql", postgresql: "sql", sqlite: "sql", patch: "diff",
  php: "clike", dart: "clike", scala: "java", groovy: "java", tsx: "jsx", scss: "css", less: "css", r: "python", julia: "python",
};
// The class of a token by its type in Prism; types that are not here have no color.
const CLASSES = {
  comment: "code-comment", prolog: "code-comment", doctype: "code-comment", cdata: "code-comment", "doc-comment": "code-comment",
  string: "code-string", char: "code-string", "attr-value": "code-string", "template-string": "code-string", regex: "code-string", url: "code-string",
  "triple-quoted-string": "code-string", "multiline-string": "code-string", scalar: "code-string", "string-literal": "code-string",
  keyword: "code-keyword", atrule: "code-keyword", important: "code-keyword", directive: "code-keyword", rule: "code-keyword", shebang: "code-keyword",
  number: "code-number", boolean: "code-number", constant: "code-number", null: "code-number", symbol: "code-number", date: "code-number",
  function: "code-function", "function-name": "code-function", decorator: "code-function", annotation: "code-function", macro: "code-function", method: "code-function",
  "class-name": "code-type", builtin: "code-type", type: "code-type", "namespace": "code-type", selector: "code-type", table: "code-type", section: "code-type",
  tag: "code-keyword", property: "code-function", key: "code-function", "attr-name": "code-function", variable: "code-function", parameter: null,
  inserted: "code-inserted", "inserted-sign": "code-inserted", deleted: "code-deleted", "deleted-sign": "code-deleted", coord: "code-comment",
  punctuation: "", operator: "", interpolation: "",
};

/** The pieces of the code as [class or "", text, class or "", text, ...], or null if the language is not known. */
export function colorCode(text, language) {
  const name = language.toLowerCase().replace(/^[{.]+|[},].*$/g, "");
  const grammar = findGrammar(OTHER_NAMES[name] ?? name);
  if (!grammar) return null;
  const pieces = [];
  collect(tokenize(text, grammar), "", pieces);
  return pieces;
}

function findGrammar(name) {
  return Object.hasOwn(languages, name) && typeof languages[name] === "object" ? languages[name] : null;
}

function collect(tokens, kind, pieces) {
  for (const token of Array.isArray(tokens) ? tokens : [tokens]) {
    if (typeof token !== "string") collect(token.content, CLASSES[token.type] ?? kind, pieces);
    else if (pieces.at(-2) === kind) pieces.push(pieces.pop() + token);
    else pieces.push(kind, token);
  }
}
