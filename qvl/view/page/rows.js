// The rows of a query: fetched in chunks around what is on the screen, and anew while a stream still grows.

import { source } from "./source.js";

const CHUNK = 100;
const POLL_MS = 200;

export class Rows {
  constructor(query, onChange) {
    this.query = query;
    this.onChange = onChange;
    this.total = 0;
    this.scanned = 0;
    this.done = false;
    this.error = null;
    this.loaded = false;
    this.chunks = new Map();
    this.wanted = [0, 0];
    this.stopped = new AbortController();
    this.busy = false;
    this.timer = null;
  }

  get(place) {
    return this.chunks.get(Math.floor(place / CHUNK))?.[place % CHUNK];
  }

  // Have the rows from `first` to `last` fetched; what was wanted before and is not under way is not.
  want(first, last) {
    this.wanted = [Math.floor(first / CHUNK), Math.floor(last / CHUNK)];
    this.fetch();
  }

  stop() {
    this.stopped.abort();
    clearTimeout(this.timer);
  }

  // The first chunk that is wanted and not complete.
  missing() {
    for (let chunk = this.wanted[0]; chunk <= this.wanted[1]; chunk++) {
      const expected = Math.min(CHUNK, this.total - chunk * CHUNK);
      if (!this.loaded || (this.chunks.get(chunk)?.length ?? 0) < expected) return chunk;
    }
    return null;
  }

  async fetch() {
    if (this.busy || this.stopped.signal.aborted) return;
    const chunk = this.missing();
    if (chunk === null) {
      if (!this.done) this.later();
      return;
    }
    await this.load(chunk, CHUNK);
    this.fetch();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      if (!this.busy) await this.load(this.wanted[0], 0);
      this.fetch();
    }, POLL_MS);
  }

  async load(chunk, size) {
    this.busy = true;
    try {
      const query = { ...this.query, first: chunk * CHUNK, count: size };
      const answer = await source.rows(query, this.stopped.signal);
      this.total = answer.total;
      this.scanned = answer.scanned;
      this.done = answer.done;
      this.error = answer.error;
      if (size) this.chunks.set(chunk, answer.rows);
      this.loaded = true;
    } catch (error) {
      if (this.stopped.signal.aborted) return;
      this.error = error.message;
      this.loaded = this.done = true;
    } finally {
      this.busy = false;
    }
    this.onChange();
  }

  // The place of a record among the matches; null where it is not, or not found yet.
  async placeOf(n) {
    try {
      return (await source.rows({ ...this.query, first: 0, count: 0, at: n }, this.stopped.signal)).place;
    } catch {
      return null;
    }
  }
}
