# SPDX-License-Identifier: Apache-2.0
"""What of an application's history cannot be, in the manner of Jepsen's set and register tests: a function of the history
alone (docs/design/0032-what-faults-can-do.md; the simulator's is tests/sim/history.h).

Each row is (client, n), and a client's n rise. A read is a register for each client: the highest n of it that was seen
among the newest rows. It is *fresh* when it was made inside of a write transaction that was acknowledged. Times are those
of one steady clock for all.
"""

import collections
import dataclasses

ACKNOWLEDGED, REFUSED, UNKNOWN = 'acknowledged', 'refused', 'unknown'


@dataclasses.dataclass(frozen=True)
class Add:
    server: str
    begin: float
    end: float
    told: str = ACKNOWLEDGED


@dataclasses.dataclass(frozen=True)
class Read:
    server: str
    session: int  # of one run of that server's machine: what was seen once is seen again in it
    begin: float
    end: float
    fresh: bool
    newest: dict  # client -> the highest n that was seen of it


@dataclasses.dataclass(frozen=True)
class Anomaly:
    kind: str  # lost, beyond the dial, duplicated, invented, undead, stale, not monotonic
    row: tuple
    text: str


def find_anomalies(adds, reads, last, kept=frozenset(), *, lossless=True, after=0.0):
    """`adds`: (client, n) -> Add. `last`: rows in the end. `kept`: rows in bundles of lost log instead. Unless lossless, a
    kept row may be gone if another server's next acknowledged row began at most `after` seconds later."""
    found = []
    for row, times in collections.Counter(last).items():
        if times > 1:
            found.append(Anomaly('duplicated', row, f'{row} is there {times} times'))
        found += seen(adds, row, 'is there')
    there = set(last)
    for row, add in adds.items():
        if add.told == ACKNOWLEDGED and row not in there:
            found += missing(adds, row, kept, lossless, after)
    return found + read_anomalies(adds, reads, kept)


def seen(adds, row, where, until=float('inf')):
    if row not in adds or adds[row].begin > until:
        return [Anomaly('invented', row, f'{row} {where}, and nobody had written it')]
    if adds[row].told == REFUSED:
        return [Anomaly('undead', row, f'{row} {where}, though it was refused')]
    return []


def missing(adds, row, kept, lossless, after):
    add = adds[row]
    text = f'{row}, acknowledged on {add.server} at {add.end:.2f}, is gone'
    if row not in kept:
        return [Anomaly('lost', row, text)]
    nexts = [other.begin for other in adds.values()
             if other.told == ACKNOWLEDGED and other.server != add.server and other.begin > add.end]
    if lossless or (nexts and min(nexts) - add.end > after):
        return [Anomaly('beyond the dial', row, text)]
    return []


def read_anomalies(adds, reads, kept):
    found = []
    acknowledged = collections.defaultdict(list)  # client -> [(end, n)]
    for (client, n), add in adds.items():
        if add.told == ACKNOWLEDGED and (client, n) not in kept:
            acknowledged[client].append((add.end, n))
    floors = {client: Floor(rows) for client, rows in acknowledged.items()}
    before = {}
    for read in sorted(reads, key=lambda read: read.begin):
        who = f'was read on {read.server} at {read.begin:.2f}'
        for client, n in read.newest.items():
            found += seen(adds, (client, n), who, read.end)
            least = floors[client].until(read.begin) if read.fresh and client in floors else 0
            if n < least:
                found.append(Anomaly('stale', (client, least), f'{(client, least)} was acknowledged before {read.begin:.2f}, '
                                                               f'and {read.server} saw no more than {n}'))
            had = before.get((read.server, read.session, client), 0)
            if n < had and (client, had) not in kept:
                found.append(Anomaly('not monotonic', (client, had), f'{(client, had)} was seen on {read.server} before, and '
                                                                     f'not at {read.begin:.2f}'))
            before[read.server, read.session, client] = n
    return found


class Floor:
    """The highest n of a client that was acknowledged before a moment; asked in order of time."""

    def __init__(self, rows):
        self.rows, self.at, self.highest = sorted(rows), 0, 0

    def until(self, moment):
        while self.at < len(self.rows) and self.rows[self.at][0] < moment:
            self.highest = max(self.highest, self.rows[self.at][1])
            self.at += 1
        return self.highest
