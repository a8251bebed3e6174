// SPDX-License-Identifier: Apache-2.0
// A small plot of a queue, and what it plots: the last POINTS answers, kept by this page only.

const POINTS = 120;
const WIDTH = 120;
const HEIGHT = 24;
const SVG = 'http://www.w3.org/2000/svg';

export class History {
  #series = new Map();

  // Adds a value (null: not known) to each series; those that are not in `values` go.
  add(values) {
    for (const key of this.#series.keys()) if (!values.has(key)) this.#series.delete(key);
    for (const [key, value] of values) {
      const points = this.#series.get(key) ?? [];
      points.push(value);
      if (points.length > POINTS) points.shift();
      this.#series.set(key, points);
    }
  }

  of(key) {
    return this.#series.get(key) ?? [];
  }
}

export function makePlot() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 -2 ${WIDTH} ${HEIGHT + 4}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', 'plot');
  svg.setAttribute('role', 'img');
  const line = document.createElementNS(SVG, 'path');
  svg.append(line);
  return svg;
}

export function drawPlot(svg, points, label) {
  const known = points.filter((value) => value !== null);
  const most = Math.max(10, ...known); // so that a queue of one commit is no mountain
  const step = WIDTH / (POINTS - 1);
  let path = '';
  let pen = 'M';
  points.forEach((value, i) => {
    if (value === null) {
      pen = 'M'; // a gap
      return;
    }
    const x = WIDTH - (points.length - 1 - i) * step;
    path += `${pen}${x.toFixed(1)} ${(HEIGHT - (value / most) * HEIGHT).toFixed(1)}`;
    pen = 'L';
  });
  svg.firstChild.setAttribute('d', path);
  svg.setAttribute('aria-label', `${label}: ${known.length > 0 ? `now ${points.at(-1) ?? 'not known'}, at most ${Math.max(...known)}` : 'not known'}`);
}
