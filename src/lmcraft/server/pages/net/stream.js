// Reads streamed answers (server-sent events).

import { ApiError, sendRequest } from "./api.js";

/** The events of a streamed answer. The server writes one `data:` line per event, and `[DONE]` at the end. */
export async function* fetchEvents(path, body, signal) {
  const response = await sendRequest(path, { method: "POST", body: JSON.stringify(body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let incompleteLine = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (incompleteLine + value).split("\n");
      incompleteLine = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        const event = JSON.parse(data);
        if (event.error) throw ApiError.of(event.error);
        yield event;
      }
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    throw ApiError.of({ code: "connection_lost" });
  } finally {
    reader.cancel().catch(() => {});
  }
  throw ApiError.of({ code: "connection_lost" });
}
