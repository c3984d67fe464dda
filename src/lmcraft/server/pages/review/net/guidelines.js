// The guidelines of the server. A version never changes, so each is fetched once.

import { fetchJson } from "../../net/api.js";

export class Guidelines {
  #versions = new Map(); // "NAME VERSION" -> promise of the guideline

  /** The current version of every guideline, without their texts. */
  async list() {
    return (await fetchJson("GET", "/api/review/guidelines")).data;
  }

  /** A version with its text. */
  get(name, version) {
    const key = `${name} ${version}`;
    if (!this.#versions.has(key)) {
      const url = `/api/review/guidelines/${encodeURIComponent(name)}?version=${encodeURIComponent(version)}`;
      const request = fetchJson("GET", url);
      request.catch(() => this.#versions.delete(key)); // it may succeed later
      this.#versions.set(key, request);
    }
    return this.#versions.get(key);
  }
}
