// The links between footnotes and where they are referred to. They scroll within their message, since the page's URL names the open chat.

export const scrollToNote = ({ currentTarget }) => scroll(currentTarget, "data-note", currentTarget.getAttribute("data-note-reference"));

export const scrollToReference = ({ currentTarget }) => scroll(currentTarget, "data-note-reference", currentTarget.getAttribute("data-note-back"));

function scroll(button, name, number) {
  const target = button.closest(".markdown")?.querySelector(`[${name}="${number}"]`);
  target?.scrollIntoView({ block: "center" });
  target?.focus({ preventScroll: true });
}
