// How far reviewers agree, how reliable each is, and which rules are unclear: live while it can be seen.

import { buildAddress } from "../../net/address.js";
import { formatNumber, getLanguage, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildSelect, buildTitle } from "../../views/facts.js";
import { fetchAgreement, fetchCounts } from "../net/management.js";
import { Poll } from "../state/poll.js";
import { buildConfusedRules, buildPairs, buildRaters, buildRules } from "./agreement_tables.js";
import { MEASURES, wordFinding, wordMeasure } from "./agreement_words.js";
import { buildChart, formatInterval, formatShare, formatValue } from "./intervals.js";
import { buildLabel, titleOf } from "./marks.js";

const POLL_SECONDS = 10;

export class AgreementView {
  constructor(app) {
    Object.assign(this, { app, report: null, problem: "" });
  }

  async mount(container, [name]) {
    this.container = container;
    this.guidelines = await this.app.guidelines.list();
    this.guideline = this.guidelines.find((guideline) => guideline.name === name) ?? this.guidelines[0];
    if (!this.guideline) return this.translate();
    this.poll = new Poll(() => this.#load(), POLL_SECONDS);
    await this.poll.start();
    return null;
  }

  unmount() {
    this.poll?.stop();
    this.isGone = true;
  }

  async #load() {
    const { name } = this.guideline;
    try {
      const answers = await Promise.all([fetchAgreement(name), fetchCounts(name)]);
      const isSame = JSON.stringify(answers) === JSON.stringify([this.report, this.counts]);
      [this.report, this.counts] = answers;
      this.updated = new Date();
      this.problem = "";
      if (!isSame && !this.isGone) this.translate();
    } catch (error) {
      if (!this.report) throw error;
      this.problem = error.message;
    }
    this.container.querySelector(".title .note")?.replaceChildren(this.#describeUpdate());
  }

  translate() {
    const options = this.guidelines.map((guideline) => [guideline.name, titleOf(guideline)]);
    const open = (name) => (location.hash = buildAddress("agreement", name));
    const choice = this.guidelines.length > 1 && buildSelect(t("guideline"), options, this.guideline.name, open);
    const head = el("div", { class: "row between" }, buildTitle(t("agreementTitle"), this.#describeUpdate()), choice);
    const opened = new Set([...this.container.querySelectorAll("details[open] > summary")].map(({ textContent }) => textContent));
    const hadFocus = this.container.contains(document.activeElement) ? describePosition(this.container, document.activeElement) : null;
    this.container.replaceChildren(head, ...(this.guideline ? this.#build() : [el("p", {}, t("noGuidelines"))]));
    for (const summary of this.container.querySelectorAll("summary")) if (opened.has(summary.textContent)) summary.parentNode.open = true;
    if (hadFocus !== null) listFocusable(this.container)[hadFocus]?.focus({ preventScroll: true });
  }

  #describeUpdate() {
    if (this.problem) return t("lastUpdate", { problem: this.problem });
    if (!this.updated) return t("agreementNote");
    return t("updatedAt", { time: this.updated.toLocaleTimeString(getLanguage(), { timeStyle: "medium" }) });
  }

  #build() {
    const { report, guideline } = this;
    if (!report) return [];
    const { raters, pairs, rules, confused_rules: confused } = report;
    return [
      this.#buildProgress(),
      ...this.#buildFindings(report.findings),
      el("section", { class: "measures", "aria-label": t("measures") }, ...MEASURES.map((measure) => this.#buildMeasure(measure))),
      this.#buildShares(report),
      buildRaters({ raters, labels: report.labels }, guideline),
      buildPairs(pairs),
      buildRules(rules, guideline),
      buildConfusedRules(confused, guideline),
    ].filter(Boolean);
  }

  #buildProgress() {
    const { votes, shared_items: shared } = this.report;
    const { pending = 0, disagreed = 0, escalated = 0, adjudicated = 0 } = this.counts ?? {};
    const boxes = [[votes, "votes"], [shared, "sharedItems"], [pending, "statePending", "items"], [disagreed + escalated, "toAdjudicate", "adjudicate"], [adjudicated, "stateAdjudicated", "items"]];
    const build = ([count, key, view]) => el("div", {}, el("strong", {}, formatNumber(count)), view ? el("a", { href: buildAddress(view) }, t(key)) : el("span", {}, t(key)));
    return el("div", { class: "counts" }, ...boxes.map(build));
  }

  #buildFindings(findings) {
    if (!findings.length) return [];
    return [el("section", { class: "findings", "aria-label": t("findings") }, el("h2", {}, t("findings")), el("ul", {}, ...findings.map((finding) => el("li", { dir: "auto" }, wordFinding(finding)))))];
  }

  #buildMeasure(measure) {
    const metric = this.report[measure.name];
    const { fleiss_votes: votes, fleiss_items: items } = this.report;
    const help = t(measure.name === "fleiss" && !items ? "fleissHelpEmpty" : measure.help, { votes: formatNumber(votes ?? 0), items: formatNumber(items ?? 0) });
    const interval = formatInterval(metric, measure.format);
    return el(
      "div",
      { class: "measure" },
      el("h2", {}, t(measure.title)),
      el("p", { class: "value" }, formatValue(metric, measure.format), interval && el("small", {}, t("interval95", { interval }))),
      metric && buildChart(metric, measure.marks),
      el("p", { class: "meaning" }, wordMeasure(measure, metric)),
      el("p", { class: "note" }, help),
    );
  }

  #buildShares({ labels, label_shares: shares }) {
    if (!this.report.votes) return null;
    const rows = labels.map((name) => {
      const share = shares[name] ?? 0;
      return el("li", {}, buildLabel(this.guideline, name), el("meter", { min: "0", max: "1", value: share, "aria-hidden": "true" }), el("span", {}, formatShare(share)));
    });
    return el("section", { class: "block" }, el("h2", {}, t("labelShares")), el("ul", { class: "shares" }, ...rows));
  }
}

const listFocusable = (node) => [...node.querySelectorAll("a, button, select, summary, [tabindex='0']")];

/** Which of the nodes that can have the focus it is, so that the focus stays when all are drawn again. */
const describePosition = (container, node) => listFocusable(container).indexOf(node);
