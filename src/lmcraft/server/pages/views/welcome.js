// What an empty chat shows: a greeting, and examples that fit the model.

import { t } from "../strings.js";
import { byId, el } from "./dom.js";

const EXAMPLES = {
  chat: ["exampleExplain", "exampleWrite", "exampleTutor", "exampleCode"],
  completion: ["beginStory", "beginList", "beginArticle", "beginCode"], // a base model continues a text; it answers no questions
};

/** `pick(text)` puts an example into the message box. */
export function drawWelcome(model, pick) {
  const kind = model?.kind === "completion" ? "completion" : "chat";
  const buildExample = (key) => el("button", { type: "button", class: "quiet", dir: "auto", onclick: () => pick(t(key)) }, t(key));
  byId("welcome").replaceChildren(
    el("h2", {}, t(kind === "chat" ? "welcome" : "welcomeCompletion")),
    el("p", {}, t(kind === "chat" ? "introduction" : "introductionCompletion")),
    el("div", { class: "examples", role: "group", "aria-label": t("examples") }, ...(model ? EXAMPLES[kind].map(buildExample) : [])),
  );
  byId("input").placeholder = t(kind === "chat" ? "message" : "messageCompletion");
}
