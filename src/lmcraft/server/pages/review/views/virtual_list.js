// A list of any length of which only the rows on the screen are in the document. Rows are links, and the arrow keys move among them.

import { el } from "../../views/dom.js";

const EXTRA_ROWS = 8; // above and below the screen
const ROWS_TO_LOAD = 40; // before the end of what is loaded
const KEYS = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, Home: -Infinity, End: Infinity };

export class VirtualList {
  /**
   * buildRow(item) -> content of a row, in a link; getAddress(item) -> where it leads; loadMore() is called close to the end.
   * scroller: the element that scrolls; rowRem(): the height of a row, in rem.
   */
  constructor(scroller, { label, buildRow, getAddress, loadMore, rowRem }) {
    Object.assign(this, { scroller, buildRow, getAddress, loadMore, rowRem, items: [], total: -1, current: 0 });
    this.rows = new Map(); // index -> node
    this.node = el("ol", { class: "virtual", "aria-label": label, onkeydown: (event) => this.#handleKey(event), onfocusin: (event) => this.#takeFocus(event) });
    this.listener = () => this.#schedule();
    scroller.addEventListener("scroll", this.listener, { passive: true });
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.node.ownerDocument.documentElement);
  }

  stop() {
    this.scroller.removeEventListener("scroll", this.listener);
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** total: how many there will be; -1 if that is unknown. The first items stay the same, unless `redraw` follows. */
  show(items, total) {
    Object.assign(this, { items, total });
    this.#measure();
    this.node.style.height = `${items.length * this.rowHeight}px`;
    this.#draw();
  }

  /** Builds the rows on the screen anew. */
  redraw() {
    const focused = this.#indexOf(document.activeElement);
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.show(this.items, this.total);
    if (focused !== null) this.#focus(focused);
  }

  /** Puts the focus on a row; -1: the one that had it last. */
  focusCurrent(index = -1) {
    if (this.items.length) this.#focus(Math.min(index < 0 ? this.current : index, this.items.length - 1));
  }

  /** The index of the first row on the screen. */
  #findTop() {
    return Math.max(0, Math.floor((this.scroller.scrollTop - this.offset) / this.rowHeight));
  }

  #measure() {
    this.rowHeight = this.rowRem() * parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.offset = this.node.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top + this.scroller.scrollTop;
    this.height = this.scroller.clientHeight;
  }

  #schedule() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const top = this.#findTop(); // once: after a change to the rows it would have them laid out
    const first = Math.max(0, top - EXTRA_ROWS);
    const last = Math.min(this.items.length, top + Math.ceil(this.height / this.rowHeight) + EXTRA_ROWS);
    const kept = this.#indexOf(document.activeElement); // a row with the focus stays
    for (const [index, row] of this.rows) {
      if ((index >= first && index < last) || index === kept) continue;
      row.remove();
      this.rows.delete(index);
    }
    for (let index = first; index < last; index += 1) if (!this.rows.has(index)) this.#add(index);
    if (!this.rows.has(this.current)) this.#setCurrent(top);
    if (last > this.items.length - ROWS_TO_LOAD) this.loadMore();
  }

  #add(index) {
    const item = this.items[index];
    const link = el("a", { href: this.getAddress(item), tabindex: index === this.current ? "0" : "-1" }, ...this.buildRow(item));
    const row = el("li", { "aria-posinset": index + 1, "aria-setsize": this.total }, link);
    row.style.transform = `translateY(${index * this.rowHeight}px)`;
    row.style.height = `${this.rowHeight}px`;
    row.dataset.index = index;
    this.rows.set(index, row);
    const next = this.rows.get(index + 1);
    if (next) next.before(row);
    else if (this.rows.has(index - 1)) this.rows.get(index - 1).after(row);
    else this.node.append(row);
  }

  #indexOf(node) {
    const row = node?.closest?.("li[data-index]");
    return row && this.node.contains(row) ? Number(row.dataset.index) : null;
  }

  #setCurrent(index) {
    this.rows.get(this.current)?.firstChild.setAttribute("tabindex", "-1");
    this.current = index;
    this.rows.get(index)?.firstChild.setAttribute("tabindex", "0");
  }

  #takeFocus(event) {
    const index = this.#indexOf(event.target);
    if (index !== null) this.#setCurrent(index);
  }

  #handleKey(event) {
    const page = Math.max(1, Math.floor(this.height / this.rowHeight) - 1);
    const step = { ...KEYS, PageDown: page, PageUp: -page }[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.#focus(Math.min(this.items.length - 1, Math.max(0, this.current + step)));
  }

  #focus(index) {
    const top = this.offset + index * this.rowHeight;
    const head = this.node.previousElementSibling?.offsetHeight ?? 0; // what stays above the list when it scrolls
    if (top - head < this.scroller.scrollTop) this.scroller.scrollTop = top - head;
    if (top + this.rowHeight > this.scroller.scrollTop + this.height) this.scroller.scrollTop = top + this.rowHeight - this.height;
    this.#draw();
    this.rows.get(index)?.firstChild.focus({ preventScroll: true });
  }
}
