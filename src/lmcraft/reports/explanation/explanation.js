"use strict";
// Makes the views answer: a chosen token and a chosen head, and the slider over training. Without it the page is complete,
// but shows each view at one token. All views follow the same token.

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const LANGUAGES = ["en", "zh-Hans"];

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

/** The data of the page, which are compressed. */
async function readData() {
  const bytes = Uint8Array.from(atob(one("#data").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

class Page {
  constructor(data) {
    this.data = data;
    this.count = data.tokens.length;
    this.token = this.count - 1;
    this.head = "";
    this.shaded = [];
  }

  /** A text in both languages, of which the style shows one; values stand in place of {name}. */
  say(name, values = {}) {
    const spans = LANGUAGES.map((lang, n) => {
      const text = this.data.words[name][n].replace(/\{(\w+)\}/g, (_, key) => values[key]);
      return element("span", { lang, textContent: text });
    });
    return element("span", {}, ...spans);
  }

  spelled(token) {
    return element("bdi", {}, element("code", { textContent: this.data.strings[this.data.tokens[token]] }));
  }

  percent(share) {
    if (share < 0.001) return "<0.1%";
    return `${(100 * share).toFixed(share >= 0.1 ? 0 : 1)}%`;
  }

  /** Tokens with their probabilities: texts by number, each followed by its probability in tenths of a percent. */
  choices(numbers) {
    const nodes = [];
    for (let n = 0; n < numbers.length; n += 2) {
      const code = element("code", { textContent: this.data.strings[numbers[n]] });
      nodes.push(element("span", { className: "choice" }, element("bdi", {}, code), ` ${this.percent(numbers[n + 1] / 1000)}`), " ");
    }
    return nodes;
  }

  start() {
    if (!this.count) return;
    this.setUpHeads();
    this.setUpStrips();
    this.setUpMaps();
    this.setUpChooser();
    this.setUpTraining();
    this.choose(this.token, false);
  }

  // The chosen token

  setUpChooser() {
    const step = (by, name, sign) => {
      const button = element("button", { type: "button", onclick: () => this.choose(this.token + by) }, sign);
      const label = element("span", { id: `label-${name}`, hidden: true }, this.say(name));
      button.setAttribute("aria-labelledby", label.id);
      return [button, label];
    };
    this.status = element("span", {});
    this.status.setAttribute("aria-live", "polite");
    const bar = element("div", { className: "chooser" }, ...step(-1, "previous", "‹"), this.status, ...step(1, "next", "›"));
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-labelledby", "surprise-title");
    one("main").append(bar);
  }

  setUpStrips() {
    this.strips = all("[data-strip]").filter((strip) => strip.children.length === this.count);
    for (const strip of this.strips) {
      strip.setAttribute("role", "listbox");
      strip.setAttribute("aria-labelledby", `${strip.closest("section").id}-title`);
      strip.removeAttribute("tabindex");
      for (const [n, token] of [...strip.children].entries()) {
        if (!token.textContent.trim()) token.ariaLabel = this.data.strings[this.data.tokens[n]]; // spaces are no name
        token.setAttribute("role", "option");
        token.setAttribute("aria-selected", "false");
        token.tabIndex = -1;
      }
      strip.onclick = ({ target }) => this.chooseWithin(strip, target);
      strip.onkeydown = (event) => this.moveBy(strip, event);
    }
  }

  chooseWithin(strip, target) {
    const token = target.closest("bdi");
    if (token) this.choose([...strip.children].indexOf(token));
  }

  moveBy(strip, event) {
    const targets = { Home: 0, End: this.count - 1, ArrowRight: this.token + 1, ArrowLeft: this.token - 1 };
    targets.ArrowDown = this.token + 1;
    targets.ArrowUp = this.token - 1;
    if (!(event.key in targets) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.choose(targets[event.key]);
    strip.children[this.token].focus({ preventScroll: true });
    strip.children[this.token].scrollIntoView({ block: "nearest" });
  }

  choose(token) {
    const chosen = Math.max(0, Math.min(this.count - 1, token));
    for (const strip of this.strips) {
      const [before, after] = [strip.children[this.token], strip.children[chosen]];
      before.classList.remove("chosen");
      before.setAttribute("aria-selected", "false");
      before.tabIndex = -1;
      after.classList.add("chosen");
      after.setAttribute("aria-selected", "true");
      after.tabIndex = 0;
    }
    this.token = chosen;
    this.status.replaceChildren(this.say("position", { n: chosen }), " ", this.spelled(chosen));
    this.showSurprise();
    this.showLens();
    this.showAttention();
  }

  showSurprise() {
    const nats = this.data.nats[this.token];
    const text = element("p", {}, element("strong", {}, `${this.token}: `, this.spelled(this.token)), " ");
    if (nats === null) {
      text.append(this.say("first"));
    } else {
      const values = { nats: nats.toFixed(2), p: this.percent(Math.exp(-nats)) };
      text.append(this.say("surprise", values), " ", ...this.choices(this.data.alternatives[this.token]));
    }
    one('[data-panel="surprise"]').replaceChildren(text);
  }

  // The lenses

  showLens() {
    const place = one("[data-lens-place] > span:last-child");
    if (!place || !this.data.lenses.length) return;
    place.replaceChildren(`${this.token}: `, this.spelled(this.token));
    const { first } = this.data.lenses[0];
    const column = this.token - first;
    if (column < 0) place.append(" ", this.say("noLens", { first }));
    for (const row of all(".lens tbody tr")) {
      const layer = Number(row.cells[0].textContent);
      this.data.lenses.forEach((lens, n) => {
        const at = lens.layers.indexOf(layer);
        const isKnown = at >= 0 && column >= 0;
        row.cells[1 + 2 * n].replaceChildren(...(isKnown ? this.choices(lens.choices[at][column].slice(0, 6)) : []));
        const rank = isKnown ? lens.ranks[at][column] : null;
        row.cells[2 + 2 * n].textContent = rank === null ? "" : rank.toLocaleString("en-US");
      });
    }
  }

  /** A click on a map of tokens chooses the token of its column. */
  setUpMaps() {
    for (const map of all('.heat[data-heat^="lens"], .heat[data-heat="residual"]')) {
      map.classList.add("live");
      map.onclick = (event) => {
        const box = map.getBoundingClientRect();
        const x = ((event.clientX - box.left) * map.viewBox.baseVal.width) / box.width;
        const { left, cell, columns, first } = map.dataset;
        const column = Math.floor((x - Number(left)) / Number(cell));
        if (column >= 0 && column < Number(columns)) this.choose(column + Number(first));
      };
    }
  }

  // Attention

  setUpHeads() {
    this.frame = one("[data-attention]");
    if (!this.frame) return;
    const strip = one(".strip", this.frame);
    const tokens = [...one(".strip.surprise").children];
    strip.append(...tokens.map(({ textContent }) => element("bdi", { className: "s0", textContent })));
    this.tokens = strip.children;
    this.frame.hidden = false;
    const table = one(".finder table");
    for (const cell of all("tbody th", table)) {
      const name = cell.textContent;
      cell.replaceChildren(element("button", { type: "button", className: "plain", onclick: () => this.chooseHead(name) }, name));
    }
    all("thead th", table).forEach((cell, column) => this.setUpSorting(table, cell, column));
    this.canvas = one("canvas", this.frame);
    this.canvas.onclick = ({ offsetY }) => this.choose(Math.floor((offsetY / this.canvas.clientHeight) * this.count));
    const first = one("tbody button", table);
    if (first) this.head = first.textContent;
  }

  setUpSorting(table, cell, column) {
    const button = element("button", { type: "button", className: "plain" }, ...cell.childNodes);
    cell.replaceChildren(button);
    button.onclick = () => {
      const rows = [...table.tBodies[0].rows];
      const key = (row) => Number.parseFloat(row.cells[column].textContent) || 0;
      const isUp = column === 0;
      if (column === 4) rows.sort((a, b) => b.cells[4].textContent.localeCompare(a.cells[4].textContent));
      else rows.sort((a, b) => (isUp ? key(a) - key(b) : key(b) - key(a)));
      table.tBodies[0].append(...rows);
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    };
  }

  chooseHead(name) {
    this.head = name;
    this.showAttention();
  }

  /** Query, key and percents of each weight of the chosen head. */
  *weights() {
    const pattern = this.data.heads[this.head] ?? [];
    let query = 0;
    for (let n = 0; n < pattern.length; n += 3) {
      query += pattern[n];
      yield [query, query - pattern[n + 1], pattern[n + 2]];
    }
  }

  /** The weights of the chosen head as a matrix, and those of the chosen token as shades of the text. */
  showAttention() {
    if (!this.frame || !this.head) return;
    if (this.drawn !== this.head) this.drawHead();
    for (const token of this.shaded) token.className = token.classList.contains("chosen") ? "s0 chosen" : "s0";
    this.shaded = [];
    const nodes = [];
    for (const [query, key, percents] of this.weights()) {
      if (query !== this.token) continue;
      const token = this.tokens[key];
      token.classList.replace("s0", `s${Math.max(1, Math.min(8, Math.round(percents / 12.5)))}`);
      this.shaded.push(token);
      nodes.push(element("span", { className: "choice" }, `${key}: `, this.spelled(key), ` ${percents}%`), " ");
    }
    const status = one("[data-head-status]", this.frame);
    if (!(this.head in this.data.heads)) {
      status.replaceChildren(this.say("noPattern", { count: Object.keys(this.data.heads).length }));
    } else {
      status.replaceChildren(this.say(nodes.length ? "attends" : "nowhere", { n: this.token }), " ", ...nodes);
    }
  }

  drawHead() {
    this.drawn = this.head;
    one("[data-head-title]", this.frame).replaceChildren(this.say("head", { name: this.head }));
    for (const row of all(".finder tbody tr")) row.classList.toggle("chosen", row.cells[0].textContent === this.head);
    const size = Math.min(2 * this.canvas.clientWidth || 1024, 1400);
    const cell = size / this.count;
    const side = Math.max(cell, 1.5);
    this.canvas.width = this.canvas.height = size;
    const context = this.canvas.getContext("2d");
    context.fillStyle = "#0f8f84";
    for (const [query, key, percents] of this.weights()) {
      context.globalAlpha = Math.min(1, 0.1 + percents / 100);
      context.fillRect(key * cell, query * cell, side, side);
    }
  }

  // Training

  setUpTraining() {
    const slider = one("[data-slider]");
    const strip = one(".strip.training");
    if (!slider || !strip) return;
    slider.hidden = false;
    const input = one("input", slider);
    const rows = all(".steps tbody tr");
    const tokens = [...strip.children];
    let shades = [];
    const show = () => {
      const step = this.data.steps[Number(input.value)];
      one("[data-step]", slider).textContent = step.step.toLocaleString("en-US");
      input.setAttribute("aria-valuetext", step.step.toLocaleString("en-US"));
      tokens.forEach((token, n) => {
        if (shades[n] === step.shades[n]) return;
        token.className = `s${step.shades[n]}${token.classList.contains("chosen") ? " chosen" : ""}`;
      });
      shades = step.shades;
      rows.forEach((row, n) => row.classList.toggle("chosen", n === Number(input.value)));
    };
    input.oninput = show;
    show();
  }
}

if (typeof DecompressionStream === "function") readData().then((data) => new Page(data).start());
