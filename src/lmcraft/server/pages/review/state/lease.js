// The claim on an item: renewed while somebody is at it, so that an item nobody looks at goes back to the queue.

import { renewClaim } from "../net/queue.js";

const RENEWALS_PER_LEASE = 3;

export class Lease {
  /** claim: {token, seconds}; isPresent() tells whether somebody looks at the item; lost(): somebody else may have the item now. */
  constructor({ token, seconds }, { isPresent, lost }) {
    Object.assign(this, { token, isPresent, lost, isOver: false, isMissed: false });
    this.timer = setInterval(() => this.#tick(), (seconds * 1000) / RENEWALS_PER_LEASE);
  }

  /** Somebody is here again: renews what was not renewed in the meantime. */
  resume() {
    if (this.isMissed) this.#renew();
  }

  end() {
    this.isOver = true;
    clearInterval(this.timer);
  }

  #tick() {
    if (this.isPresent()) this.#renew();
    else this.isMissed = true;
  }

  async #renew() {
    this.isMissed = false;
    try {
      await renewClaim(this.token);
    } catch (error) {
      if (this.isOver || error.isTemporary || error.status >= 500) return; // the next renewal may come in time
      this.end();
      this.lost();
    }
  }
}
