// Formats a token and its probability.

import { formatNumber } from "../strings.js";
import { escapeControls } from "./dom.js";

export const formatProbability = (logprob) => `${formatNumber(100 * Math.exp(logprob), 1)}%`;

/** A token's text with visible spaces, tabs and line breaks. */
export const formatToken = (text) => escapeControls(text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "·")) || "∅";

/** A token's text, or its bytes if it is only part of a character. */
export const spellToken = ({ text, bytes }) => bytes?.map((byte) => `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("") ?? text;
