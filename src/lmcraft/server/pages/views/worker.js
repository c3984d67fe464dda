// Runs in a worker (background.js): libraries that are large, and that hostile text could keep busy for long.

const KINDS = {
  color: async ({ text, language }) => (await import("./code_colors.js")).colorCode(text, language),
  math: async ({ tex, display }) => (await import("./math_tree.js")).buildMathTree(tex, display),
};

self.addEventListener("message", async ({ data: { kind, data } }) => {
  let result = null;
  try {
    result = await KINDS[kind](data);
  } catch (error) {
    console.debug(error);
  }
  self.postMessage(result);
});
