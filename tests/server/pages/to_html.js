// The nodes that the page draws for Markdown, as the HTML of CommonMark's examples.

const VOID = ["br", "hr", "img"];

export function toHtml(node) {
  if (node.nodeType === Node.TEXT_NODE) return escapeHtml(node.data);
  const kind = node.classList[0];
  if (kind === "html") return node.textContent; // HTML is drawn as text
  if (kind === "code") return codeToHtml(node);
  if (kind === "math") return mathToHtml(node);
  if (kind === "image") return imageToHtml(node);
  const children = [...node.childNodes].map(toHtml).join("");
  if (kind === "wide-table") return children;
  const tag = /^h[1-6]$/.test(kind ?? "") ? kind : node.localName;
  const attributes = ["href", "start"].filter((name) => node.hasAttribute(name)).map((name) => format(name, node.getAttribute(name)));
  if (tag === "a") attributes.push(...titleOf(node));
  const open = `<${[tag, ...attributes].join(" ")}`;
  if (tag === "input") return "<input>";
  return VOID.includes(tag) ? `${open} />${tag === "br" ? "\n" : ""}` : `${open}>${children}</${tag}>`;
}

const escapeHtml = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const format = (name, value) => `${name}="${escapeHtml(value)}"`;

/** The title of a link stands in the line after its address. */
function titleOf(node) {
  const [, ...title] = node.title.split("\n");
  return title.length ? [format("title", title.join("\n"))] : [];
}

function codeToHtml(node) {
  const language = node.querySelector("figcaption span").textContent;
  const text = node.querySelector("code").textContent;
  const attribute = language === "Code" ? "" : ` class="language-${escapeHtml(language)}"`;
  return `<pre><code${attribute}>${escapeHtml(text && `${text}\n`)}</code></pre>`;
}

/** Its source, which it shows until it is drawn. */
function mathToHtml(node) {
  return `<math${node.classList.contains("display") ? " display" : ""}>${escapeHtml(node.textContent)}</math>`;
}

function imageToHtml(node) {
  const source = format("src", node.getAttribute("href") ?? node.title);
  const hasAltText = node.textContent !== (node.getAttribute("href") ?? node.title);
  return `<img ${[source, format("alt", hasAltText ? node.textContent : ""), ...titleOf(node)].join(" ")} />`;
}
