// The feedback dialog: how much there is, which model was picked how often, the list, and how to train on it.

import { fetchFeedback, fetchSummary, fetchTrainingFile, listTrainingFiles, undo } from "../chat/feedback.js";
import { formatDateTime, formatNumber, t } from "../strings.js";
import { copyText } from "./clipboard.js";
import { openDialog } from "./dialogs.js";
import { el, escapeControls } from "./dom.js";
import { downloadBlob } from "./download.js";
import { buildIcon, buildIconButton } from "./icons.js";
import { showToast } from "./toasts.js";

const KINDS = ["", "rating", "pick", "edit"]; // "": all
const KIND_NAMES = { "": "allFeedback", rating: "ratings", pick: "picks", edit: "edits" };

export class FeedbackDialog {
  /** handlers: {getModel() -> id of the open model, openChat(id), changed() after something was undone}. */
  constructor(handlers) {
    Object.assign(this, { handlers, kind: "", items: [] });
  }

  async open() {
    this.summary = el("div", { class: "feedback-summary" });
    this.filters = el("div", { class: "row filters", role: "group", "aria-label": t("feedback") });
    this.list = el("ol", { class: "feedback-list" });
    this.more = el("button", { type: "button", class: "quiet", onclick: () => this.#load() }, t("showMore"));
    this.dialog = openDialog(t("feedback"), [this.summary, this.filters, this.list, this.more]);
    await this.#reload();
  }

  async #reload() {
    this.items = [];
    this.#drawFilters();
    await this.#attempt(async () => this.#drawSummary(await fetchSummary()));
    await this.#load();
  }

  async #load() {
    await this.#attempt(async () => {
      const { kind } = this;
      const page = await fetchFeedback(kind, this.items.length);
      if (kind !== this.kind) return; // another filter was chosen in the meantime
      this.items.push(...page.data);
      this.more.hidden = !page.has_more;
      this.#drawList();
    });
  }

  #drawSummary(summary) {
    const counts = ["good", "bad", "picks", "edits"].map((name) =>
      el("div", {}, el("strong", {}, formatNumber(summary[name])), el("span", {}, t(`${name}Count`))),
    );
    const tallies = summary.models.filter(({ share }) => share !== null).map(buildTally);
    const files = listTrainingFiles(summary, this.handlers.getModel()).map((file) => this.#buildTraining(file));
    this.summary.replaceChildren(
      el("div", { class: "counts" }, ...counts),
      ...(tallies.length ? [el("h3", {}, t("pickedModels")), el("ul", { class: "tallies" }, ...tallies)] : []),
      ...(files.length ? [el("h3", {}, t("trainOnFeedback")), ...files] : []),
    );
  }

  #buildTraining({ name, commands }) {
    const download = () => this.#attempt(async () => downloadBlob(await fetchTrainingFile(name), name));
    const text = commands.join("\n");
    const copyButton = buildIconButton("copy", t("copyCode"), (event) => copyText(text, event.currentTarget));
    const button = el("button", { type: "button", class: "quiet", onclick: download }, buildIcon("download"), name);
    return el("div", { class: "training" }, button, el("div", { class: "command" }, el("pre", { tabindex: "0" }, text), copyButton));
  }

  #drawFilters() {
    const choose = (kind) => {
      this.kind = kind;
      this.#reload();
    };
    const buildFilter = (kind) =>
      el("button", { type: "button", class: "pill", "aria-pressed": String(kind === this.kind), onclick: () => choose(kind) }, t(KIND_NAMES[kind]));
    this.filters.replaceChildren(...KINDS.map(buildFilter));
  }

  #drawList() {
    this.list.replaceChildren(...this.items.map((item) => this.#buildItem(item)));
    if (!this.items.length) this.list.append(el("li", { class: "note" }, t("noFeedback")));
  }

  #buildItem(item) {
    const open = () => (this.dialog.close(), this.handlers.openChat(item.conversation));
    const head = el(
      "div",
      { class: "row" },
      el("button", { type: "button", class: "link", dir: "auto", onclick: open }, item.title || t("newChat")),
      el("time", {}, formatDateTime(item.created)),
      item.kind !== "edit" && el("button", { type: "button", class: "quiet", onclick: () => this.#undo(item) }, t("undo")),
    );
    const answers = buildAnswers(item).map(([label, text]) => el("p", { dir: "auto" }, el("small", {}, label), escapeControls(text)));
    const reason = item.reason && el("p", { class: "reason", dir: "auto" }, t("reasonGiven", { reason: escapeControls(item.reason) }));
    return el("li", {}, head, el("p", { class: "question", dir: "auto" }, escapeControls(item.prompt ?? "")), ...answers, reason);
  }

  #undo(item) {
    return this.#attempt(async () => {
      await undo(item);
      this.handlers.changed();
      await this.#reload();
    });
  }

  async #attempt(action) {
    try {
      await action();
    } catch (error) {
      showToast(error.message);
    }
  }
}

/** The answers of an item, each with what was said about it. */
function buildAnswers({ kind, rating, answer, model, other, other_model: otherModel }) {
  if (kind === "rating") return [[`${t(rating > 0 ? "good" : "bad")} · ${model}`, answer]];
  if (kind === "pick") return [[t("pickedAnswer", { model }), answer], [t("otherAnswer", { model: otherModel }), other]];
  return [[t("editedAnswer"), answer], ...(other === null ? [] : [[t("originalAnswer", { model }), other]])];
}

/** How often one model was picked over another, from the view of the one that was picked more often. */
function buildTally({ first, second, picked_first: pickedFirst, picked_second: pickedSecond, share, low, high }) {
  const firstLeads = pickedFirst >= pickedSecond;
  const flip = (value) => (value === null ? null : firstLeads ? value : 1 - value);
  const percent = (value) => `${formatNumber(100 * value)}%`;
  const [lower, upper] = [flip(low), flip(high)].sort((a, b) => a - b);
  const values = {
    winner: firstLeads ? first : second,
    loser: firstLeads ? second : first,
    n: formatNumber(Math.max(pickedFirst, pickedSecond)),
    count: formatNumber(pickedFirst + pickedSecond),
    share: percent(flip(share)),
  };
  const interval = low === null ? "" : ` ${t("tallyInterval", { low: percent(lower), high: percent(upper) })}`;
  const meter = el("meter", { min: "0", max: "1", value: flip(share), "aria-hidden": "true" });
  return el("li", {}, el("span", {}, t("tally", values) + interval), meter);
}
