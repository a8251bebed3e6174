// SPDX-License-Identifier: Apache-2.0
// What the page's server knows, followed: a stream of changes (/api/v1/state/stream), and while that is silent or
// refused, the whole asked for again and again (/api/v1/state). Nothing is followed while nobody sees the page.

const SILENT_MS = 3500; // the stream says something each second
const ANSWER_MS_MAX = 8000;
const AGAIN_MS = 5000; // until a new stream is tried in place of a silent one
const ROUND_MS = 1000;
const PARTS = { servers: 'name', databases: 'name', copies: 'database' };

export class Feed {
  #head = {};
  #rows = { servers: new Map(), databases: new Map(), copies: new Map() };
  #stream = null;
  #opened = 0;
  #told; // called with the state, and whether anything but its age is new
  #silent; // called with for how long nothing was heard (null: never yet)
  heardAt = 0;

  constructor(told, silent) {
    this.#told = told;
    this.#silent = silent;
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#close() : this.#open()));
    if (!document.hidden) this.#open();
    this.#goRound();
  }

  #open() {
    this.#close();
    this.#opened = performance.now();
    this.#stream = new EventSource('/api/v1/state/stream');
    for (const kind of ['state', 'change', 'beat']) {
      this.#stream.addEventListener(kind, (message) => this.#take(kind, JSON.parse(message.data)));
    }
  }

  #close() {
    this.#stream?.close();
    this.#stream = null;
  }

  #take(kind, { set, ...parts }) {
    if (kind === 'state') this.#forget();
    for (const [field, value] of Object.entries(set)) this.#head[field] = value;
    for (const [part, rows] of Object.entries(parts)) {
      if (!(part in this.#rows)) continue; // of a newer server
      for (const [name, row] of Object.entries(rows)) {
        if (row === null) this.#rows[part].delete(name);
        else this.#rows[part].set(name, row);
      }
    }
    this.#tell(kind !== 'beat');
  }

  #takeWhole(state) {
    this.#forget();
    for (const [field, value] of Object.entries(state)) {
      if (field in PARTS) for (const row of value) this.#rows[field].set(row[PARTS[field]], row);
      else this.#head[field] = value;
    }
    this.#tell(true);
  }

  #forget() {
    this.#head = {};
    for (const rows of Object.values(this.#rows)) rows.clear();
  }

  #tell(isNew) {
    this.heardAt = performance.now();
    const state = { ...this.#head };
    for (const part of Object.keys(PARTS)) state[part] = [...this.#rows[part].values()];
    this.#told(state, isNew);
  }

  async #goRound() {
    const now = performance.now();
    if (!document.hidden && now - Math.max(this.heardAt, this.#opened) > SILENT_MS) {
      try {
        const answer = await fetch('/api/v1/state', { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS_MAX) });
        if (!answer.ok) throw new Error(`it answered ${answer.status}`);
        this.#takeWhole(await answer.json());
      } catch {
        this.#silent(this.heardAt === 0 ? null : performance.now() - this.heardAt);
      }
      if (!document.hidden && performance.now() - this.#opened > AGAIN_MS) this.#open();
    }
    setTimeout(() => this.#goRound(), ROUND_MS);
  }
}
