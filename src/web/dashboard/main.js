// SPDX-License-Identifier: Apache-2.0
// Shows what the feed tells, and that it tells nothing.

import { Feed } from './feed.js';
import { ago, readState, verdictOf } from './model.js';
import { History } from './plot.js';
import { setText, showAway, showDatabases, showServers } from './rows.js';

const ROWS = 50;

const at = (id) => document.getElementById(id);
const history = new History(() => show());
let shown = ROWS;
let state = null;
let view = null;

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

function told(newest, isNew) {
  state = newest;
  if (isNew || view === null) view = readState(state);
  const title = `${state.server} – Understudy`;
  if (document.title !== title) document.title = title;
  setText(at('seen'), `as ${state.server} sees it, version ${state.version}`);
  document.body.classList.remove('stale');
  at('away').hidden = true;
  say(verdictOf(state, view));
  show();
}

function silent(sinceMs) {
  const since = sinceMs === null ? '' : ` for ${ago(sinceMs)}; what is below is as old`;
  document.body.classList.add('stale');
  say(['bad', `The server of this page has not answered${since}. Is understudyd running there? This page goes on by itself.`]);
  showAway(at('away'), at('others'), (view?.servers ?? []).filter((server) => server.name !== state.server));
}

at('find').addEventListener('input', () => { shown = ROWS; show(); });
at('only').addEventListener('change', () => { shown = ROWS; show(); });
at('more').addEventListener('click', () => { shown += ROWS; show(); });
at('databases').addEventListener('toggle', show, true);
new Feed(told, silent);
