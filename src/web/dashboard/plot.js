// SPDX-License-Identifier: Apache-2.0
// A small plot of a queue or an age over the last hours, and where its points come from: /api/v1/history of the
// databases that are open on the page.

const WIDTH = 120;
const HEIGHT = 24;
const POINTS = 360;
const POINTS_MIN = 30; // what is younger fills the plot from the right
const SVG = 'http://www.w3.org/2000/svg';
const STALE_MS = 60000;
const YOUNG_MS = 5000; // as old may it be while there is nothing of a copy
const ASKED_MAX = 40; // databases whose course is kept here
const ANSWER_MS_MAX = 8000;

export class History {
  #known = new Map(); // by database: { at, copies: Map by server, stepS }
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  // The values by minute, oldest first; null: not known. Asks for what is missing or old.
  of(database, server, field) {
    const known = this.#known.get(database);
    const age = performance.now() - (known?.at ?? 0);
    if (known === undefined || age > (known.copies.has(server) ? STALE_MS : YOUNG_MS)) this.#ask(database);
    return known?.copies.get(server)?.[field] ?? [];
  }

  async #ask(database) {
    const before = this.#known.get(database);
    this.#known.delete(database);
    if (this.#known.size >= ASKED_MAX) this.#known.delete(this.#known.keys().next().value);
    this.#known.set(database, { at: performance.now(), copies: before?.copies ?? new Map() });
    try {
      const answer = await fetch(`/api/v1/history?database=${encodeURIComponent(database)}`,
        { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      if (!answer.ok) return;
      const copies = new Map((await answer.json()).copies.map((copy) => [copy.server, copy]));
      this.#known.set(database, { at: performance.now(), copies });
      this.#changed();
    } catch {
      // It is asked again in a minute; that the server is away is said elsewhere.
    }
  }
}

export function makePlot() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 -2 ${WIDTH} ${HEIGHT + 4}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', 'plot');
  svg.setAttribute('role', 'img');
  svg.append(document.createElementNS(SVG, 'path'));
  return svg;
}

// `past` by minute, `now` after it; `least` is the smallest top of the plot. Returns the most, null when unknown.
export function drawPlot(svg, past, now, least) {
  const points = [...past.slice(1 - POINTS), now];
  const most = points.reduce((top, value) => (value !== null && (top === null || value > top) ? value : top), null);
  const top = Math.max(least, most ?? 0);
  const step = WIDTH / (Math.max(POINTS_MIN, points.length) - 1);
  let path = '';
  let pen = 'M';
  points.forEach((value, i) => {
    if (value === null) {
      pen = 'M'; // a gap
      return;
    }
    const x = WIDTH - (points.length - 1 - i) * step;
    path += `${pen}${x.toFixed(1)} ${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`;
    pen = 'L';
  });
  const line = svg.firstChild;
  if (line.getAttribute('d') !== path) line.setAttribute('d', path);
  return most;
}
