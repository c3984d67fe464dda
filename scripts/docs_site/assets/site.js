// Formulas: $…$ and $$…$$ reach the page as elements of class "arithmatex"; Temml makes MathML of them.
for (const element of document.querySelectorAll(".arithmatex")) {
  const display = element.tagName === "DIV";
  const tex = element.textContent.trim().replace(/^\\[[(]/, "").replace(/\\[\])]$/, "");
  const options = { displayMode: display, wrap: display ? "none" : "tex", throwOnError: true, strict: false, trust: false };
  element.replaceChildren(buildMath(tex, options).toNode());
}

addEventListener("load", () => {
  // Zensical makes a landmark of the copy button of each code block.
  for (const nav of document.querySelectorAll(".md-code__nav")) nav.setAttribute("role", "presentation");
  // What is too wide for the screen scrolls with the keyboard, too.
  for (const element of document.querySelectorAll(".md-typeset__scrollwrap, .arithmatex, pre > code")) {
    if (element.scrollWidth > element.clientWidth && element.clientWidth) element.tabIndex = 0;
  }
});
