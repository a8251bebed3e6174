// SPDX-License-Identifier: Apache-2.0
// The lists of servers and databases. Nodes are kept by name and changed where something changed, so that focus,
// selection and what is open stay. Text from outside becomes text nodes only.

import { ago, words } from './model.js';
import { drawPlot, makePlot } from './plot.js';

export function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setData(node, key, value) {
  if (node.dataset[key] !== value) node.dataset[key] = value;
}

// Children of `list` become those of `items`, in their order; `build` makes one, `update` brings it up to date.
export function showList(list, items, key, build, update) {
  const known = new Map([...list.children].map((node) => [node.dataset.key, node]));
  items.forEach((item, i) => {
    const name = key(item);
    const node = known.get(name) ?? build(item);
    known.delete(name);
    node.dataset.key = name;
    if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null);
    update(node, item);
  });
  for (const node of known.values()) node.remove();
}

export function showServers(list, servers, self, now) {
  showList(list, servers, (server) => server.name, () => {
    const node = make('li', 'card');
    node.append(make('span', 'dot'), make('a', 'name'), make('span', 'state'), make('span', 'quiet'));
    return node;
  }, (node, server) => {
    const [dot, name, state, note] = node.children;
    setData(dot, 'tone', server.up ? 'good' : 'bad');
    setText(name, server.name);
    if (server.name !== self && server.url?.startsWith('http:')) name.href = server.url;
    const seen = Date.parse(server.lastSeen);
    const last = Number.isNaN(seen) ? '' : `, last seen ${ago(Math.max(0, now - seen))} ago`;
    setText(state, server.up ? (server.name === self ? 'up, this one' : 'up') : `does not answer${last}`);
    setText(note, `${server.active} active, ${server.passive} passive`);
  });
}

const PLOTS = [['copyQueue', 'copy queue'], ['replayQueue', 'replay queue']];

function buildCopy() {
  const row = make('li', 'copy');
  row.append(make('span', 'dot'), make('span', 'name'), make('span', 'state'), make('span', 'position quiet'));
  for (const [, title] of PLOTS) {
    const cell = make('span', 'queue');
    cell.append(make('span', 'quiet', title), make('b'), makePlot());
    row.append(cell);
  }
  row.append(make('p', 'error'));
  return row;
}

function updateCopy(row, copy, database, history) {
  const [dot, name, state, position, ...rest] = row.children;
  setData(dot, 'tone', copy.tone);
  setText(name, copy.server);
  const lag = copy.lagMs > 0 ? `, lagged by ${ago(copy.lagMs)}` : '';
  setText(state, `${copy.role}, ${words(copy.state)}${lag}`);
  setText(position, copy.position === null ? '' : `at ${copy.position}`);
  PLOTS.forEach(([field, title], i) => {
    const cell = rest[i];
    cell.hidden = copy.role === 'active';
    setText(cell.children[1], copy[field] === null ? '–' : copy[field].toLocaleString('en'));
    drawPlot(cell.children[2], history.of(`${database}\n${copy.server}\n${field}`), `${title} of ${copy.server}`);
  });
  const error = rest.at(-1);
  const why = copy.error ? copy.error.message ?? String(copy.error) : copy.reason ? `suspended: ${copy.reason}` : '';
  error.hidden = why === '';
  setText(error, why);
}

function buildDatabase() {
  const node = make('details', 'database');
  const line = make('summary');
  line.append(make('span', 'dot'), make('span', 'name'), make('span', 'where quiet'), make('span', 'chips'));
  node.append(line, make('p', 'quiet facts'), make('ul', 'copies'));
  return node;
}

function buildChip() {
  const chip = make('span', 'chip');
  chip.append(make('span', 'dot'), make('span'));
  return chip;
}

export function showDatabases(list, databases, history) {
  showList(list, databases, (database) => database.name, buildDatabase, (node, database) => {
    const [line, facts, copies] = node.children;
    const [dot, name, where, chips] = line.children;
    setData(dot, 'tone', database.tone);
    setText(name, database.name);
    setText(where, database.dismounted ? 'dismounted' : `active on ${database.active || 'no server'}`);
    const passive = database.copies.filter((copy) => copy.role !== 'active' || copy.tone !== 'good');
    showList(chips, passive, (copy) => copy.server, buildChip, (chip, copy) => {
      setData(chip.children[0], 'tone', copy.tone);
      setText(chip.children[1], `${copy.server} ${words(copy.state)}`);
    });
    if (!node.open) return; // what is not seen costs nothing
    setText(facts, `Term ${database.term}, mount dial ${database.dial}. Queues are in commits; their course is of the last 120 answers, while this page is open.`);
    showList(copies, database.copies, (copy) => copy.server, buildCopy,
      (row, copy) => updateCopy(row, copy, database.name, history));
  });
}
