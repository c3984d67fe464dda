// The files attached to the message that is being written: dropped, pasted or chosen, with the tokens that each takes.

import { countTokens, readFile } from "../chat/file_text.js";
import { formatNumber, t } from "../strings.js";
import { byId, el } from "./dom.js";
import { buildIconButton } from "./icons.js";
import { showToast } from "./toasts.js";

export class Attachments {
  /** handlers: {changed(), getModel() -> the model that will read them}. */
  constructor(handlers) {
    this.handlers = handlers;
    this.files = []; // {name, text, tokens: null while they are being counted}
    this.list = byId("files");
    byId("attach").addEventListener("click", () => byId("attachment").click());
    byId("attachment").addEventListener("change", () => {
      this.add([...byId("attachment").files]);
      byId("attachment").value = ""; // so that choosing the same file again is a change, too
    });
    byId("input").addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    const main = byId("main");
    main.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      main.classList.add("dropping");
    });
    main.addEventListener("dragleave", (event) => main.contains(event.relatedTarget) || main.classList.remove("dropping"));
    main.addEventListener("drop", (event) => (main.classList.remove("dropping"), this.#take(event, event.dataTransfer)));
  }

  /** Replaces all files by {name, text} objects. */
  show(files) {
    this.files = files.map((file) => ({ ...file, tokens: null }));
    this.#draw();
    for (const file of this.files) this.#countTokens(file);
  }

  async add(files) {
    for (const file of files) {
      try {
        const attached = { ...(await readFile(file)), tokens: null };
        this.files.push(attached);
        this.#draw();
        this.handlers.changed();
        this.#countTokens(attached);
      } catch (error) {
        showToast(error.message);
      }
    }
    byId("input").focus();
  }

  #take(event, transfer) {
    const files = [...(transfer?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  async #countTokens(file) {
    const model = this.handlers.getModel();
    if (!model) return;
    try {
      const tokens = await countTokens(file.text, model);
      Object.assign(file, { tokens, isTooLong: tokens >= model.context });
      this.#draw();
    } catch {
      // The server is a gateway to one that cannot count, or away: the file is shown with its characters.
    }
  }

  #draw() {
    this.list.hidden = !this.files.length;
    this.list.replaceChildren(...this.files.map((file) => this.#buildChip(file)));
  }

  #buildChip(file) {
    const { name, text, tokens, isTooLong } = file;
    const size = tokens === null ? t("characterCount", { n: formatNumber(text.length) }) : t("tokenCount", { n: formatNumber(tokens) });
    const remove = () => {
      this.files = this.files.filter((other) => other !== file);
      this.#draw();
      this.handlers.changed();
      byId("input").focus();
    };
    const warning = isTooLong && el("small", { class: "warning" }, t("fileExceedsContext"));
    const label = el("span", { class: "name", dir: "auto", title: name }, name);
    return el("li", {}, label, el("small", {}, size), warning, buildIconButton("close", `${t("removeFile")}: ${name}`, remove));
  }
}
