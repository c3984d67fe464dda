// The dialog in which a user reports an answer to the people who review this server's answers.

import { sendReport } from "../chat/feedback.js";
import { t } from "../strings.js";
import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";
import { showToast } from "./toasts.js";

const REASONS = { harmful: "reportHarmful", wrong: "reportWrong", privacy: "reportPrivacy", other: "reportOther" };
const MAX_COMMENT_CHARACTERS = 2000;

/** Resolves to whether the answer was reported. A report that fails leaves the dialog open, with everything that was entered. */
export function askReport(conversation, message) {
  return new Promise((resolve) => {
    let isReported = false;
    let isSending = false; // a disabled button would lose the focus
    const problem = el("p", { class: "form-problem", role: "alert", dir: "auto", hidden: true });
    const comment = el("textarea", { rows: "3", maxlength: MAX_COMMENT_CHARACTERS, dir: "auto", "aria-label": t("reportComment"), placeholder: t("reportComment") });
    const submit = async (event) => {
      event.preventDefault();
      if (isSending) return;
      isSending = true;
      const reason = new FormData(form).get("reason");
      try {
        await sendReport({ conversation, message, reason, comment: comment.value.trim() });
        isReported = true;
        dialog.close();
        showToast(t("reported"), "info");
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      } finally {
        isSending = false;
      }
    };
    const cancel = el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("cancel"));
    const reasons = el("fieldset", { class: "choices" }, el("legend", {}, t("reportReason")), ...Object.entries(REASONS).map(buildReason));
    const note = el("p", { class: "note" }, t("reportNote"));
    const form = el("form", { onsubmit: submit }, reasons, comment, note, problem, el("div", { class: "row buttons" }, cancel, el("button", { class: "main" }, t("sendReport"))));
    const dialog = openDialog(t("reportTitle"), [form], { small: true, onclose: () => resolve(isReported) });
  });
}

function buildReason([reason, name], i) {
  return el("label", {}, el("input", { type: "radio", name: "reason", value: reason, required: true, autofocus: i === 0 }), el("span", {}, t(name)));
}
