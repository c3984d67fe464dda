// What differs between two versions of a guideline, word by word: rules, other text, and settings.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { compareGuidelines } from "../state/guideline_rules.js";

const CHANGES = { added: "ruleAdded", removed: "ruleRemoved", changed: "ruleChanged" };
const TAGS = { same: "span", old: "del", new: "ins" };
const NAMES = { settings: "changedSettings", otherText: "changedOtherText" }; // of what is no rule
const MAX_SAME_CHARACTERS = 320; // of a part that has not changed
const LANGUAGES = { en: "English", zh: "中文" };

/** before, after: {en, zh}, texts of the guideline. A list of changes in each language that both have, or a line that says that there is none. */
export function buildRuleChanges(before, after) {
  const languages = Object.keys(LANGUAGES).filter((language) => before[language] && after[language]);
  const lists = languages.map((language) => [language, compareGuidelines(before[language], after[language])]).filter(([, changes]) => changes.length);
  if (!lists.length) return [el("p", { class: "note" }, t("noRuleChanges"))];
  return lists.flatMap(([language, changes]) => [languages.length > 1 && el("h3", { lang: language }, LANGUAGES[language]), el("ol", { class: "changes", lang: language }, ...changes.map(buildChange))].filter(Boolean));
}

function buildChange({ id, title, change, parts }) {
  const text = parts.map(([kind, words]) => el(TAGS[kind], {}, kind === "same" ? shorten(words) : words));
  return el("li", {}, el("header", {}, el("h4", { dir: "auto" }, NAMES[id] ? t(NAMES[id]) : `${id} ${title}`), el("span", { class: "badge", "data-change": change }, t(CHANGES[change]))), el("p", { class: "plain", dir: "auto" }, ...text));
}

/** Both ends of a long text that has not changed. */
function shorten(text) {
  if (text.length <= MAX_SAME_CHARACTERS) return text;
  const half = MAX_SAME_CHARACTERS / 2;
  return `${text.slice(0, half).toWellFormed()} … ${text.slice(-half).toWellFormed()}`;
}
