// SPDX-License-Identifier: Apache-2.0
// What the page says of /api/v1/state, without any DOM: pure functions.

const GOOD = new Set(['Mounted', 'Healthy']);
const BAD = new Set(['Failed', 'FailedAndSuspended', 'ServiceDown']);

export function toneOf(state) {
  if (GOOD.has(state)) return 'good';
  return BAD.has(state) ? 'bad' : 'busy';
}

// 'DisconnectedAndHealthy' -> 'disconnected and healthy'
export function words(state) {
  return state.replace(/(?!^)([A-Z])/g, ' $1').toLowerCase();
}

// Of a copy here what this server knows at this moment, else what its server last published.
function copyOf(member, here, activeSeq) {
  const newest = here ?? member;
  const alive = member.state !== 'ServiceDown';
  const passive = member.role !== 'active';
  const known = alive && newest.durable !== undefined;
  const copy = {
    server: member.name,
    role: member.role,
    state: here && alive ? here.state : member.state,
    error: here?.error,
    reason: here?.suspend_reason,
    lagMs: member.replay_lag_ms ?? 0,
    position: known ? `${newest.durable.term}.${newest.durable.seq}` : null,
    copyQueue: null,
    replayQueue: null,
  };
  if (known && passive) {
    copy.copyQueue = here ? here.copy_queue : member.copy_queue ?? Math.max(0, activeSeq - newest.durable.seq);
    copy.replayQueue = here ? here.replay_queue : Math.max(0, newest.durable.seq - newest.replayed.seq);
  }
  copy.tone = toneOf(copy.state);
  return copy;
}

function databaseOf(record, here) {
  const active = record.members.find((member) => member.role === 'active');
  const activeSeq = active?.durable?.seq ?? 0;
  const copies = record.members.map((member, i) => copyOf(member, here.get(`${record.name}\n${member.name}`), activeSeq));
  copies.sort((a, b) => (a.role === b.role ? a.server.localeCompare(b.server) : a.role === 'active' ? -1 : 1));
  // A database that a person dismounted is as it should be.
  const tones = copies.map((copy) => (record.dismounted && copy.state === 'Dismounted' ? 'good' : copy.tone));
  return {
    name: record.name,
    active: record.active,
    term: record.term,
    dial: record.dial,
    dismounted: record.dismounted,
    copies,
    tone: tones.includes('bad') ? 'bad' : tones.includes('busy') ? 'busy' : 'good',
  };
}

const ORDER = { bad: 0, busy: 1, good: 2 };

export function readState(state) {
  const here = new Map((state.copies ?? []).map((copy) => [`${copy.database}\n${state.server}`, copy]));
  const databases = (state.databases ?? []).map((record) => databaseOf(record, here));
  databases.sort((a, b) => ORDER[a.tone] - ORDER[b.tone] || a.name.localeCompare(b.name));
  const servers = new Map((state.servers ?? []).map((server) => [server.name, {
    name: server.name, up: server.state === 'Up', address: server.address, url: server.api_url,
    lastSeen: server.last_seen, version: server.version, active: 0, passive: 0,
  }]));
  for (const database of databases) {
    for (const copy of database.copies) {
      const server = servers.get(copy.server);
      if (server) server[copy.role === 'active' ? 'active' : 'passive'] += 1;
    }
  }
  return { databases, servers: [...servers.values()].sort((a, b) => a.name.localeCompare(b.name)) };
}

const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

// The sentence at the top, and how it is coloured.
export function verdictOf(state, { databases, servers }) {
  if (!state.registry_read) return ['busy', `${state.server} has not read the group's registry yet.`];
  const silence = state.coordinator_silence_ms;
  if (silence === null || silence > state.lease_ms) {
    return ['bad', `${state.server} has not heard the coordinator${silence === null ? '' : ` for ${ago(silence)}`}: ` +
      'what other servers do now is not known here.'];
  }
  const notes = [];
  const down = servers.filter((server) => !server.up).map((server) => server.name);
  const bad = databases.filter((database) => database.tone === 'bad').length;
  const busy = databases.filter((database) => database.tone === 'busy').length;
  if (down.length > 0) notes.push(`${down.slice(0, 5).join(', ')} ${down.length === 1 ? 'does' : 'do'} not answer`);
  if (bad > 0) notes.push(`${count(bad, 'database has', 'databases have')} a copy that failed or cannot be reached`);
  if (busy > 0) notes.push(`${count(busy, 'database has', 'databases have')} a copy that is not up to date or suspended`);
  if (state.failsafe) notes.push('the group is in failsafe mode');
  if (state.paused) notes.push('the group is paused: nothing moves without a person');
  const tone = bad > 0 || down.length > 0 ? 'bad' : notes.length > 0 ? 'busy' : 'good';
  if (notes.length > 0) return [tone, `${notes.join('; ')}.`.replace(/^./, (first) => first.toUpperCase())];
  if (databases.length === 0) return ['good', 'There are no databases yet: understudy db add NAME PATH.'];
  return ['good', `All copies of ${count(databases.length, 'database', 'databases')} are as they should be.`];
}

export function ago(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.round(ms / 1000);
  if (s < 120) return `${s} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}
