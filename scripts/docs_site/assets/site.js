// Formulas: $…$ and $$…$$ reach the page as elements of class "arithmatex"; Temml makes MathML of them.
for (const element of document.querySelectorAll(".arithmatex")) {
  const display = element.tagName === "DIV";
  const tex = element.textContent.trim().replace(/^\\[[(]/, "").replace(/\\[\])]$/, "");
  const options = { displayMode: display, wrap: display ? "none" : "tex", throwOnError: true, strict: false, trust: false };
  element.replaceChildren(buildMath(tex, options).toNode());
}

// Zensical makes a landmark of the copy button of each code block.
addEventListener("load", () => {
  for (const nav of document.querySelectorAll(".md-code__nav")) nav.setAttribute("role", "presentation");
});
