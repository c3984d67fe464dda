// The owner's settings: the exposure cap, the share of items with a known verdict, the lease; and the end of the audit log.

import { formatNumber, t } from "../../strings.js";
import { copyText } from "../../views/clipboard.js";
import { el } from "../../views/dom.js";
import { buildTitle } from "../../views/facts.js";
import { buildIconButton } from "../../views/icons.js";
import { showToast } from "../../views/toasts.js";
import { fetchAuditHead, fetchSettings, saveSettings } from "../net/management.js";

// Shown in other units than stored: `unit` of the stored one to one that is shown.
const FIELDS = [
  { name: "exposure_cap", label: "exposureCap", help: "exposureHelp", min: 0, max: 1_000_000, step: 1, unit: 1 },
  { name: "gold_share", label: "goldShare", help: "goldHelp", min: 0, max: 50, step: 0.5, unit: 0.01 },
  { name: "lease_seconds", label: "leaseMinutes", help: "leaseHelp", min: 1, max: 1440, step: 1, unit: 60 },
];

export class SettingsView {
  constructor(app) {
    this.app = app;
  }

  async mount(container) {
    this.container = container;
    [this.settings, this.head] = await Promise.all([fetchSettings(), fetchAuditHead()]);
    this.values = Object.fromEntries(FIELDS.map(({ name, unit }) => [name, toShown(this.settings[name], unit)]));
    this.translate();
  }

  unmount() {}

  translate() {
    const fields = FIELDS.map((field) => this.#buildField(field));
    this.problem = el("p", { class: "form-problem", role: "alert", dir: "auto", hidden: true });
    const submit = (event) => {
      event.preventDefault();
      this.#save();
    };
    const form = el("form", { class: "fields card", onsubmit: submit }, ...fields, this.problem, el("div", { class: "row buttons" }, el("button", { class: "main" }, t("save"))));
    this.container.replaceChildren(buildTitle(t("tabSettings"), t("settingsNote")), form, this.#buildAudit());
  }

  #buildField({ name, label, help, min, max, step }) {
    const id = `setting-${name}`;
    const input = el("input", { id, type: "number", min, max, step, required: true, value: this.values[name], "aria-describedby": `${id}-help` });
    input.addEventListener("input", () => (this.values[name] = input.value));
    return el("div", { class: "setting" }, el("label", { for: id }, t(label)), input, el("small", { id: `${id}-help` }, t(help)));
  }

  async #save() {
    const settings = Object.fromEntries(FIELDS.map(({ name, unit }) => [name, toStored(this.values[name], unit)]));
    try {
      this.settings = await saveSettings(settings);
      this.problem.hidden = true;
      showToast(t("settingsSaved"), "info");
    } catch (error) {
      this.problem.textContent = error.message;
      this.problem.hidden = false;
    }
  }

  #buildAudit() {
    const { seq, hash } = this.head;
    const head = `${seq}:${hash}`;
    const copy = buildIconButton("copy", t("copyCode"), (event) => copyText(head, event.currentTarget));
    return el("section", { class: "card" }, el("h2", {}, t("auditLog")), el("p", { class: "note" }, t("auditNote", { n: formatNumber(seq) })), el("div", { class: "command" }, el("pre", { tabindex: "0" }, head), copy));
  }
}

const toShown = (value, unit) => Math.round((value / unit) * 1000) / 1000;
const toStored = (value, unit) => Math.round(Number(value) * unit * 1e6) / 1e6;
