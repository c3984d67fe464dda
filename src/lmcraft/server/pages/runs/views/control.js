// Stopping and resuming a run, after a question.

import { t } from "../../strings.js";
import { askForm } from "../../views/dialogs.js";
import { el, escapeControls } from "../../views/dom.js";
import { buildIcon } from "../../views/icons.js";
import { showToast } from "../../views/toasts.js";
import { resumeRun, stopRun } from "../net/runs.js";

const ACTIONS = {
  stop: { send: stopRun, icon: "square", title: "stopTitle", text: "stopText", label: "stopRun", sent: "stopping", buttonClass: "danger" },
  resume: { send: resumeRun, icon: "play", title: "resumeTitle", text: "resumeText", label: "resumeRun", sent: "resuming", buttonClass: "main" },
};
const MAX_WAIT_MS = 60_000; // for the run to do as it was told

export class RunControl {
  constructor() {
    this.node = el("div", { class: "row control" });
    this.sent = null; // {name, state, until}: what was asked of the run, which was in this state
  }

  show(run) {
    if (this.sent && (this.sent.state !== run.state || Date.now() > this.sent.until)) this.sent = null;
    this.run = run;
    const names = ["stop", "resume"].filter((name) => run[`can_${name}`]);
    const key = JSON.stringify([names, this.sent?.name, t("stopRun")]);
    if (key === this.key) return;
    this.key = key;
    this.node.replaceChildren(...(this.sent ? [el("p", { class: "note", role: "status" }, t(ACTIONS[this.sent.name].sent))] : names.map((name) => this.#build(name))));
  }

  #build(name) {
    const { icon, label } = ACTIONS[name];
    return el("button", { type: "button", class: "quiet", "data-act": name, onclick: () => this.#ask(name) }, buildIcon(icon), t(label));
  }

  async #ask(name) {
    const { send, title, text, label, buttonClass } = ACTIONS[name];
    const { id, state } = this.run;
    const question = el("p", { dir: "auto" }, escapeControls(t(text, { name: this.run.name })));
    if (!(await askForm(t(title), [question], { submitLabel: t(label), getResult: () => true, buttonClass }))) return;
    this.sent = { name, state, until: Date.now() + MAX_WAIT_MS };
    this.show(this.run);
    try {
      await send(id);
    } catch (error) {
      this.sent = null;
      showToast(error.message);
    }
    this.show(this.run);
  }
}
