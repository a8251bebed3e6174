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

// Where else the group can be seen while the page's own server is away.
export function showAway(box, list, servers) {
  const others = servers.filter((server) => server.up && server.url?.startsWith('http:'));
  box.hidden = others.length === 0;
  showList(list, others, (server) => server.name, () => {
    const item = make('li');
    item.append(make('a'));
    return item;
  }, (item, server) => {
    setText(item.firstChild, server.name);
    item.firstChild.href = server.url;
  });
}

// What is plotted: the field of a copy, its name in the history, the title, how a value is told, the least top.
const PLOTS = [
  ['copyQueue', 'copy_queue', 'copy queue', (value) => value.toLocaleString('en'), 10],
  ['replayQueue', 'replay_queue', 'replay queue', (value) => value.toLocaleString('en'), 10],
  ['ageMs', 'age_ms', 'behind', ago, 1000],
];

function buildCopy() {
  const row = make('li', 'copy');
  row.append(make('span', 'dot'), make('span', 'name'), make('span', 'state'), make('span', 'position quiet'));
  for (const [, , title] of PLOTS) {
    const cell = make('span', 'queue');
    cell.append(make('span', 'quiet', title), make('b'), makePlot(), make('span', 'quiet most'));
    row.append(cell);
  }
  row.append(make('p', 'error'));
  return row;
}

function updatePlot(cell, copy, field, title, tell, least, past) {
  // An age is told by the history alone: it changes at every moment.
  const now = field === 'ageMs' ? past.at(-1) ?? null : copy[field];
  const known = now !== null || past.some((value) => value !== null);
  cell.hidden = copy.role === 'active' || (field === 'ageMs' && !known);
  if (cell.hidden) return;
  const [, value, plot, note] = cell.children;
  setText(value, now === null ? '–' : tell(now));
  const most = drawPlot(plot, past, now, least);
  const over = past.length > 60 ? `${Math.round(past.length / 60)} h` : `${Math.max(1, past.length)} min`;
  setText(note, most === null ? 'not known' : `at most ${tell(most)} in ${over}`);
  plot.setAttribute('aria-label', `${title === 'behind' ? 'how far readers are behind' : title} of ${copy.server}: now ${now === null ? 'not known' : tell(now)}, ${note.textContent}`);
}

function updateCopy(row, copy, database, history) {
  const [dot, name, state, position, ...rest] = row.children;
  setData(dot, 'tone', copy.tone);
  setText(name, copy.server);
  const lag = copy.lagMs > 0 ? `, lagged by ${ago(copy.lagMs)}` : '';
  setText(state, `${copy.role}, ${words(copy.state)}${lag}`);
  setText(position, copy.position === null ? '' : `at ${copy.position}`);
  PLOTS.forEach(([field, name, title, tell, least], i) => updatePlot(rest[i], copy, field, title, tell, least,
    copy.role === 'active' ? [] : history.of(database, copy.server, name)));
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
    setText(facts, `Term ${database.term}, mount dial ${database.dial}. Queues are in commits; the plots show the worst of each minute, up to 6 hours back.`);
    showList(copies, database.copies, (copy) => copy.server, buildCopy,
      (row, copy) => updateCopy(row, copy, database.name, history));
  });
}
