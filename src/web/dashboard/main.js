// SPDX-License-Identifier: Apache-2.0
// Asks /api/v1/state again and again while the page is seen, and shows it.

import { ago, readState, verdictOf } from './model.js';
import { History } from './plot.js';
import { setText, showDatabases, showServers } from './rows.js';

const PAUSE_MS = 1000;
const ANSWER_MS_MAX = 10000;
const REST = 4; // pause at least so many times as long as the answer took: a large group is not asked all the time
const ROWS = 50;

const at = (id) => document.getElementById(id);
const history = new History();
let shown = ROWS;
let state = null;
let view = null;
let answeredAt = 0;

function matches(database, text) {
  return database.name.toLowerCase().includes(text) ||
    database.copies.some((copy) => copy.server.toLowerCase().includes(text));
}

function show() {
  if (state === null) return;
  const text = at('find').value.trim().toLowerCase();
  const found = view.databases.filter((database) => matches(database, text) &&
    (!at('only').checked || database.tone !== 'good'));
  const rows = found.slice(0, shown);
  showServers(at('servers'), view.servers, state.server, Date.parse(state.now));
  showDatabases(at('databases'), rows, history);
  setText(at('count'), `${rows.length} of ${view.databases.length}`);
  at('more').hidden = found.length <= shown;
}

function say([tone, sentence]) {
  at('verdict').className = `verdict ${tone}`;
  setText(at('verdict'), sentence);
}

function remember() {
  const values = new Map();
  for (const database of view.databases) {
    for (const copy of database.copies) {
      if (copy.role === 'active') continue;
      for (const field of ['copyQueue', 'replayQueue']) {
        values.set(`${database.name}\n${copy.server}\n${field}`, copy[field]);
      }
    }
  }
  history.add(values);
}

async function ask() {
  const answer = await fetch('/api/v1/state', { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  state = await answer.json();
  view = readState(state);
  answeredAt = Date.now();
  remember();
  document.title = `${state.server} – Understudy`;
  setText(at('seen'), `as ${state.server} sees it, version ${state.version}`);
  document.body.classList.remove('stale');
  say(verdictOf(state, view));
  show();
}

async function goRound() {
  const began = performance.now();
  if (!document.hidden) {
    try {
      await ask();
    } catch {
      const since = answeredAt === 0 ? '' : ` for ${ago(Date.now() - answeredAt)}; what is below is as old`;
      document.body.classList.add('stale');
      say(['bad', `The server of this page has not answered${since}. Is understudyd running there?`]);
    }
  }
  setTimeout(goRound, Math.max(PAUSE_MS, REST * (performance.now() - began)));
}

at('find').addEventListener('input', () => { shown = ROWS; show(); });
at('only').addEventListener('change', () => { shown = ROWS; show(); });
at('more').addEventListener('click', () => { shown += ROWS; show(); });
at('databases').addEventListener('toggle', show, true);
goRound();
