// The text of a file that the user attaches to a message.

import { ApiError, fetchJson, sendRequest } from "../net/api.js";
import { t } from "../strings.js";

const MAX_CHARACTERS = 900_000; // a message may have a million
const ENCODINGS = ["utf-8", "gb18030"]; // the second is what Chinese editors write where it is not the first

/** {name, text}. Throws an ApiError for a file without text. */
export async function readFile(file) {
  const name = file.name.replace(/\s+/g, " ");
  const isPdf = file.type === "application/pdf" || /\.pdf$/i.test(name);
  const text = isPdf ? await fetchPdfText(file) : decode(name, new Uint8Array(await file.arrayBuffer()));
  if (!text.trim()) throw new ApiError(t("emptyFile", { name }));
  if (text.length > MAX_CHARACTERS) throw new ApiError(t("fileTooLong", { name }));
  return { name, text: text.replace(/\r\n?/g, "\n").trimEnd() };
}

/** How many tokens a text has for a model. */
export async function countTokens(text, model) {
  return (await fetchJson("POST", "/tokenize", { model: model.id, prompt: text, add_special_tokens: false })).count;
}

async function fetchPdfText(file) {
  const response = await sendRequest("/api/text", { method: "POST", body: file });
  return (await response.json()).text;
}

function decode(name, bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  if (!bytes.includes(0)) {
    for (const encoding of ENCODINGS) {
      try {
        return new TextDecoder(encoding, { fatal: true }).decode(bytes);
      } catch {
        // Try the next one.
      }
    }
  }
  throw new ApiError(t("notText", { name }));
}
