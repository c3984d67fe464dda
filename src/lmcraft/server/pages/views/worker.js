// Runs in a worker (background.js): libraries that are large, and that hostile text could keep busy for long.

const KINDS = {
  async color({ text, language }) {
    const { colorCode } = await import("./code_colors.js");
    return colorCode(text, language);
  },
  async math({ tex, display }) {
    const { buildMathTree } = await import("./math_tree.js");
    return buildMathTree(tex, display);
  },
};

self.addEventListener("message", async ({ data: { kind, data } }) => {
  let result = null;
  try {
    result = await KINDS[kind](data);
  } catch {
    // Wrong TeX, or a library that did not arrive: the text stays as it is.
  }
  self.postMessage(result);
});
