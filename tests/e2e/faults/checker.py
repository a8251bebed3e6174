# SPDX-License-Identifier: Apache-2.0
"""What is a violation. In the manner of Jepsen's set test, with what Understudy promises (docs/ARCHITECTURE.md).

Of the journals (who was told "committed", from when to when), the terms in the registry, the active copies and the
lost-log bundles at the end, after every fault has healed:

1. One writable copy. The acknowledged commits of a database are put to the terms of the registry: each to a term of
   its server, so that a commit which ended before another began has no higher term. If there is no such order, two
   copies were writable at one moment, and that is a violation. Excluded are commits on a server *while its daemon is
   dead or frozen*, and for GRACE_SECONDS after it runs again: an unmodified application goes on there until the fence is
   applied (guarantee 3). A supervised daemon's fence has SUPERVISED_SECONDS.
2. Nothing vanishes. Every acknowledged row is in the active copy at the end, or in a lost-log bundle; also the excluded
   ones. A row that is nowhere is a violation.
3. What is lost is within the dial. A row that is in a bundle only was acknowledged in an excluded time, or no longer
   before the next server's term than the lease and the dial's silence allow. A *confirmed* row (workload.py) that was
   not excluded is in the active copy.
4. No duplicates, no strange rows, and each client's rows are in the order in which it wrote them.
5. Reads fit (anomalies.py): what a write transaction has read was the newest, but beside a dead or frozen daemon; no
   application sees less of a copy than it had seen; none sees what nobody wrote.
6. Copies are equal. Within SETTLE_SECONDS every copy is Healthy or Mounted, at one position with one checksum, passes
   integrity_check, and all copies have the same bytes but for the read-only mark.
"""

import bisect
import dataclasses
import heapq
import os
import sqlite3
import tempfile
import time

from faults import anomalies
from faults.group import Failed, wait_until

GRACE_SECONDS = 6
SUPERVISED_SECONDS = 8
SETTLE_SECONDS = 120
DIAL_SILENCE_SECONDS = 15  # of "good"


@dataclasses.dataclass
class Down:
    """A time in which a server's daemon was dead or frozen."""
    server: str
    begin: float
    end: float = float('inf')

    def covers(self, begin, end):
        return begin <= self.end and end >= self.begin


class Checker:
    def __init__(self, group, workload, history, paths, downs):
        self.group, self.workload, self.history = group, workload, history
        self.paths, self.downs = paths, downs  # database -> {server: path}; list of Down
        self.violations, self.notes = [], []

    def excluded(self, server, row):
        return any(down.server == server and down.covers(row.begin, row.end) for down in self.downs)

    def check(self):
        for database in self.paths:
            self.settle(database)
        for database in self.paths:
            self.check_equal(database)
            self.check_rows(database)
            self.check_order_of_terms(database)
        return self.violations

    def violation(self, text):
        self.violations.append(text)

    # --- 6 ---

    def settle(self, database):
        def state():
            return f'{database} is healthy: ' + '; '.join(
                f'{server} {copy["state"]} {copy["error"] or ""}' for server, copy in self.group.copies(database).items())
        began = time.monotonic()
        wait_until(state, lambda: self.group.is_healthy(database), SETTLE_SECONDS)
        wait_until(lambda: f'{database} is replayed everywhere: {state()}', lambda: self.group.run(
            self.group.servers[0], 'wait', database, '--replayed', '--timeout', '10s').returncode == 0, SETTLE_SECONDS)
        self.notes.append(f'{database}: all copies healthy and replayed {time.monotonic() - began:.1f} s after the last fault')

    def check_equal(self, database):
        def ends():
            return {(copy['replayed'], copy['checksum']) for copy in self.group.copies(database).values()}
        wait_until(lambda: f'{database} has one checksum at one position: {ends()}', lambda: len(ends()) == 1, 30)
        contents = {}
        for server, path in self.paths[database].items():
            contents.setdefault(content_of(path), []).append(server)
        if len(contents) > 1:
            self.violation(f'copies of {database} differ: {list(contents.values())}')

    # --- 2, 3, 4 ---

    def check_rows(self, database):
        rows = rows_of(next(iter(self.paths[database].values())))
        present = {(client, n) for client, n, _ in rows}
        lost = {}
        for (server, bundle), path in self.group.lost_databases(database).items():
            if not os.path.exists(path):
                self.notes.append(f'{database}: bundle {bundle} on {server} has no database')
                continue
            for client, n, _ in rows_of(path):
                if (client, n) not in present:
                    lost.setdefault((client, n), f'{server}/{bundle}')
        if len(present) != len(rows):
            self.violation(f'{database} has {len(rows) - len(present)} duplicates')
        self.check_content(database, rows)
        self.check_reads(database, set(lost))
        acknowledged = 0
        for app in self.workload.of(database):
            acknowledged += len(app.journal)
            self.check_journal(database, app, present, lost)
        self.notes.append(f'{database}: {acknowledged} acknowledged, {len(rows)} in the active copy, {len(lost)} in '
                          f'{len(self.group.lost_databases(database))} bundles, '
                          f'terms {" ".join(self.history.servers(database))}')

    def check_journal(self, database, app, present, lost):
        nowhere, too_early, confirmed, kept, excluded = [], [], [], 0, 0
        confirmer = self.workload.confirmers[database]
        for row in app.journal:
            if (app.client, row.n) in present:
                continue
            out = self.excluded(app.server, row)
            if (app.client, row.n) not in lost:
                nowhere.append(row)
            elif out:
                excluded += 1
            else:
                kept += 1
                if confirmer.covers(app.server, row):
                    confirmed.append(row)
                if self.too_early(database, app, row):
                    too_early.append(row)
        for what, found in (('acknowledged rows are nowhere', nowhere),
                            ('rows that all copies had on disk were lost', confirmed),
                            ('rows were lost that the dial does not allow', too_early)):
            if found:
                self.violation(f'{database}: {len(found)} {what}: of {app.server}, '
                               f'{[(row.n, round(row.end, 2)) for row in found[:5]]}…')
        if kept or excluded:
            self.notes.append(f'{database}: {app.server} lost {kept} within the dial, and {excluded} written while its '
                              'daemon was dead or frozen; all are in bundles')

    def too_early(self, database, app, row):
        """Whether the next commit of another server came so late that the dial forbids to lose `row`."""
        nexts = []
        for other in self.workload.of(database):
            if other is app:
                continue
            at = bisect.bisect([ack.begin for ack in other.journal], row.end)
            if at < len(other.journal):
                nexts.append(other.journal[at].begin)
        return bool(nexts) and min(nexts) - row.end > self.group.lease + DIAL_SILENCE_SECONDS + GRACE_SECONDS

    def check_content(self, database, rows):
        apps = {app.client: app for app in self.workload.of(database)}
        last = dict.fromkeys(apps, 0)
        for client, n, body in rows:
            if client not in apps or body != apps[client].body(n):
                self.violation(f'{database} has a row that nobody wrote: {client} {n} {body[:80]}')
            elif n <= last[client]:
                self.violation(f'{database}: row {n} of {client} comes after its row {last[client]}')
            else:
                last[client] = n

    # --- 5 ---

    def check_reads(self, database, kept):
        adds, reads = {}, []
        for app in self.workload.of(database):
            adds |= app.adds()
            reads += [dataclasses.replace(read, fresh=read.fresh and not self.excluded(app.server, read)) for read in app.reads]
        found = anomalies.read_anomalies(adds, reads, kept)
        for anomaly in found[:5]:
            self.violation(f'{database}: {anomaly.kind}: {anomaly.text}')
        self.notes.append(f'{database}: {len(reads)} reads, {sum(read.fresh for read in reads)} in write transactions')

    # --- 1 ---

    def check_order_of_terms(self, database):
        terms = self.history.servers(database)
        rows = sorted(((row, app.server) for app in self.workload.of(database) for row in app.journal
                       if not self.excluded(app.server, row)), key=lambda pair: pair[0].begin)
        ended, at = [], 0  # (end, term) of rows that have begun; the highest term of those that ended
        wrong = []
        for row, server in rows:
            while ended and ended[0][0] < row.begin:
                at = max(at, heapq.heappop(ended)[1])
            mine = next((term for term in range(at, len(terms)) if terms[term] == server), None)
            if mine is None:
                wrong.append((server, row.n, round(row.begin, 2), round(row.end, 2)))
            else:
                heapq.heappush(ended, (row.end, mine))
        if wrong:
            self.violation(f'{database}: two copies were writable at one moment: {len(wrong)} commits were acknowledged '
                           f'after a later term had begun elsewhere: {wrong[:5]}…; terms {" ".join(terms)}')


def rows_of(path):
    """(client, n, body) in the order of writing. The path may be a bundle's, which nobody else has open."""
    connection = sqlite3.connect(f'file:{path}?mode=ro', uri=True, timeout=30)
    try:
        return connection.execute('SELECT client, n, body FROM t ORDER BY id').fetchall()
    finally:
        connection.close()


def content_of(path):
    """All pages as SQLite reads them, after an integrity check, without the read-only mark."""
    with tempfile.TemporaryDirectory() as directory:
        source = sqlite3.connect(f'file:{path}?mode=ro', uri=True, timeout=30)
        target = sqlite3.connect(os.path.join(directory, 'copy.db'))
        found = source.execute('PRAGMA integrity_check').fetchall()
        if found != [('ok',)]:
            raise Failed(f'{path} is corrupt: {found[:3]}')
        source.backup(target)
        source.close()
        target.close()
        with open(os.path.join(directory, 'copy.db'), 'rb') as file:
            content = bytearray(file.read())
    content[18:20] = b'\x02\x02'
    return bytes(content)
