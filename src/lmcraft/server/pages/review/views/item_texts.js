// The texts of an item: the messages before it, and one answer or two; or a prompt or a document.

import { t } from "../../strings.js";
import { el, escapeControls } from "../../views/dom.js";
import { buildSafeText } from "./safe_text.js";

const MAX_ANSWER_CHARACTERS = 20_000; // drawn at once
const MAX_CONTEXT_CHARACTERS = 1200;
const MAX_CONTEXT_MESSAGES = 6; // the last ones; those before are shown on demand
const NAMES = { answer: "theAnswer", prompt: "thePrompt", document: "theDocument" };
const ROLES = { user: "roleUser", assistant: "roleAssistant", system: "roleSystem" };

/** The messages and the answers of an item. Also of one that is shown for another reason than to be judged. */
export function buildTexts({ kind, subject, messages, answers }) {
  const early = messages.slice(0, -MAX_CONTEXT_MESSAGES);
  const recent = messages.slice(-MAX_CONTEXT_MESSAGES);
  const list = el("ol", { class: "context", "aria-label": t("conversationBefore") }, ...recent.map(buildMessage));
  const showEarly = () => {
    list.prepend(...early.map(buildMessage));
    more.remove();
    list.tabIndex = -1;
    list.focus({ preventScroll: true });
  };
  const more = early.length > 0 && el("button", { type: "button", class: "quiet more", onclick: showEarly }, t("showEarlier", { n: early.length }));
  const isPair = kind === "preference";
  const nodes = answers.map((answer, index) => buildAnswer(answer, isPair ? t("answerNumber", { n: index + 1 }) : "", subject));
  return el("div", { class: "texts" }, more, messages.length > 0 && list, el("div", { class: isPair ? "answers pair" : "answers" }, ...nodes));
}

function buildMessage({ role, content }) {
  const isUser = role === "user";
  const name = ROLES[role] ? t(ROLES[role]) : escapeControls(String(role).slice(0, 40));
  return el("li", { class: isUser ? "turn asking" : "turn" }, el("p", { class: "speaker", dir: "auto" }, name), buildSafeText(String(content ?? ""), MAX_CONTEXT_CHARACTERS));
}

function buildAnswer(text, title, subject) {
  const heading = title ? el("h3", {}, title) : null;
  const label = title || t(NAMES[subject] ?? "theAnswer");
  return el("div", { class: "judged", role: "group", "aria-label": label }, heading, buildSafeText(String(text ?? ""), MAX_ANSWER_CHARACTERS));
}
