// TeX to a tree of MathML nodes; Temml's parts that write into a document are left out.
import { StyleLevel } from "temml/src/constants.js";
import Settings from "temml/src/Settings.js";
import Style from "temml/src/Style.js";
import buildMathML from "temml/src/buildMathML.js";
import parseTree from "temml/src/parseTree.js";

/** Throws a ParseError if the TeX is wrong. */
export function buildMath(tex, options) {
  const settings = new Settings(options);
  const level = settings.displayMode ? StyleLevel.DISPLAY : StyleLevel.TEXT;
  return buildMathML(parseTree(tex, settings), tex, new Style({ level, maxSize: settings.maxSize }), settings);
}
