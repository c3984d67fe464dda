// The guidelines: text, versions, what has changed between them, and which verdicts a change touches.

import { buildAddress } from "../../net/address.js";
import { formatNumber, getLanguage, localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildFacts, buildSelect, buildTitle } from "../../views/facts.js";
import { MarkdownView } from "../../views/markdown.js";
import { buildTime } from "../../views/times.js";
import { fetchTouched } from "../net/management.js";
import { GuidelineEditor } from "./guideline_editor.js";
import { buildLabel, nameRule } from "./marks.js";
import { buildRuleChanges } from "./rule_changes.js";

const NAME = "guidelines"; // in the address
const REASONS = { rule_changed: "touchedRuleChanged", rule_removed: "touchedRuleRemoved", label_removed: "touchedLabelRemoved", outcome_changed: "touchedOutcomeChanged" };

export class GuidelinesView {
  constructor(app) {
    Object.assign(this, { app, touched: [], isGone: false });
  }

  /** path: [], [name], [name, version], [name, "edit"] or ["", "edit"] for a new one. */
  async mount(container, [name = "", action]) {
    this.container = container;
    this.guidelines = await this.app.guidelines.list();
    const current = this.guidelines.find((guideline) => guideline.name === name);
    if (action === "edit" && this.app.can("owner")) {
      const source = current && (await this.app.guidelines.get(current.name, current.version));
      this.editor = new GuidelineEditor(this.app, source ?? null);
      return this.editor.mount(container);
    }
    const latest = current ?? (name ? null : this.guidelines[0]);
    if (latest) await this.#load(latest, Number(action) || latest.version);
    else if (name) this.isUnknown = true;
    return this.translate();
  }

  async #load(latest, version) {
    const { name } = latest;
    this.latest = latest;
    this.guideline = await this.app.guidelines.get(name, version);
    const [previous, touched] = await Promise.all([
      version > 1 ? this.app.guidelines.get(name, version - 1) : null,
      this.app.can("adjudicator") ? fetchTouched(name) : { data: [], total: 0, next: null },
    ]);
    Object.assign(this, { previous, touched });
  }

  unmount() {
    this.editor?.unmount();
  }

  translate() {
    if (this.editor) return this.editor.translate();
    if (!this.guideline) {
      this.container.replaceChildren(buildTitle(t("tabGuidelines"), t(this.isUnknown ? "unknownGuideline" : "noGuidelines")), ...this.#buildOwnerLinks());
      return null;
    }
    const { guideline } = this;
    const links = this.guidelines.map(({ name, title }) =>
      el("a", { href: buildAddress(NAME, name), "aria-current": name === guideline.name ? "page" : null, dir: "auto" }, localize(title)),
    );
    const choice = this.guidelines.length > 1 ? [el("nav", { class: "row choices-nav", "aria-label": t("tabGuidelines") }, ...links)] : [];
    this.container.replaceChildren(
      el("div", { class: "row between" }, this.#buildTitle(), el("div", { class: "row" }, ...this.#buildOwnerLinks())),
      ...choice,
      el("div", { class: "split" }, this.#buildText(), el("div", { class: "facts-column" }, this.#buildLabels(), this.#buildVersions(), this.#buildTouched())),
    );
    return null;
  }

  #buildTitle() {
    const { version, kind, reviews, sensitive } = this.guideline;
    const notes = [t("versionOf", { version }), t(kind === "preference" ? "kindPreference" : "kindLabel"), t("reviewsEach", { n: formatNumber(reviews) }), sensitive && t("isSensitive")];
    return buildTitle(localize(this.guideline.title), notes.filter(Boolean).join(" · "));
  }

  #buildOwnerLinks() {
    if (!this.app.can("owner")) return [];
    const edit = this.guideline && el("a", { class: "button quiet", href: buildAddress(NAME, this.latest.name, "edit") }, t("editGuideline"));
    return [edit, el("a", { class: "button quiet", href: buildAddress(NAME, "", "edit") }, t("addGuideline"))].filter(Boolean);
  }

  #buildText() {
    const { text } = this.guideline;
    const language = text[getLanguage()] ? getLanguage() : Object.keys(text)[0];
    const body = el("div", { class: "markdown", lang: language });
    new MarkdownView(body).show(text[language] ?? "");
    return el("section", { class: "texts-column card", "aria-label": t("guidelineText") }, el("h2", { class: "visually-hidden" }, t("guidelineText")), body);
  }

  #buildLabels() {
    const { guideline } = this;
    const outcomes = { accept: "outcomeAccept", reject: "outcomeReject", undecided: "outcomeUndecided", first: "outcomeFirst", second: "outcomeSecond", tie: "outcomeTie" };
    const rows = guideline.labels.map(({ name, outcome }) => [buildLabel(guideline, name), t(outcomes[outcome] ?? "outcomeUndecided")]);
    return el("section", {}, el("h2", {}, t("labels")), buildFacts(rows));
  }

  #buildVersions() {
    const { guideline, previous } = this;
    const versions = [...guideline.versions].sort((a, b) => b.version - a.version);
    const options = versions.map(({ version }) => [String(version), t("versionOf", { version })]);
    const open = (version) => (location.hash = buildAddress(NAME, guideline.name, version));
    const { created, by, changed_rules: changed } = versions.find(({ version }) => version === guideline.version) ?? {};
    return el(
      "section",
      {},
      el("h2", {}, t("versions")),
      buildSelect(t("versionLabel"), options, String(guideline.version), open),
      buildFacts([[t("added"), created && buildTime(created)], [t("addedBy"), by], [t("changedRules"), changed?.length ? changed.join(t("listSeparator")) : null]]),
      previous && el("details", { open: true }, el("summary", {}, t("changesSince", { version: previous.version })), ...buildRuleChanges(previous.source ?? previous.text, guideline.source ?? guideline.text)),
    );
  }

  #buildTouched() {
    const { data, total, next } = this.touched;
    if (!data.length) return null;
    const list = el("ol", { class: "touched" }, ...data.map((verdict) => this.#buildTouchedVerdict(verdict)));
    const more = next && el("button", { type: "button", class: "quiet", onclick: () => this.#showMoreTouched() }, t("showMore"));
    return el("section", { class: "touched-verdicts" }, el("h2", {}, t("touchedTitle")), el("p", { class: "note" }, t("touchedNote", { n: formatNumber(total) })), list, more);
  }

  #buildTouchedVerdict({ item, reviewer, rule, label, version, created, reason }) {
    const note = t("touchedVerdict", { label: label ? this.#nameLabel(label) : "…", name: reviewer || "…", version });
    return el(
      "li",
      {},
      el("a", { href: buildAddress("items", item), dir: "auto" }, nameRule(this.latest, rule)),
      el("span", { class: "note", dir: "auto" }, `${t(REASONS[reason] ?? "touchedRuleChanged")} · ${note} · `, buildTime(created)),
    );
  }

  async #showMoreTouched() {
    try {
      const page = await fetchTouched(this.latest.name, this.touched.next);
      const count = this.touched.data.length;
      this.touched = { ...page, data: [...this.touched.data, ...page.data] };
      const section = this.#buildTouched();
      this.container.querySelector(".touched-verdicts").replaceWith(section);
      section.querySelectorAll("a")[count].focus({ preventScroll: true });
    } catch (error) {
      this.app.showError(error);
    }
  }

  #nameLabel(name) {
    const label = this.latest.labels.find((candidate) => candidate.name === name);
    return label ? localize(label.title) : name;
  }
}
