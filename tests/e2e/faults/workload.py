# SPDX-License-Identifier: Apache-2.0
"""Applications with stock SQLite, one per server and database, beside that server's copy.

Each tries all the time to commit a numbered row to its own server's copy, whether that is the active one or not, and
connects anew when it is refused. So it is the workload and the probe for writable copies in one: a copy is writable at
a moment when a commit to it is acknowledged, nothing less proves it. What was acknowledged, from when to when, is its
journal. A second thread asks for `wait --durable` all the time: what was acknowledged before it began, on the server
that was active then, is *confirmed*: every copy that was waited for has it on disk.
"""

import dataclasses
import sqlite3
import threading
import time

from faults.anomalies import UNKNOWN, Add, Read

BUSY_SECONDS = 0.2
READ_ROWS = 40      # the newest, that a read sees
READ_ONE_IN = 5     # commits reads first, in its transaction
LOOK_ONE_IN = 10    # refusals of a passive copy reads it


@dataclasses.dataclass(frozen=True)
class Acknowledged:
    n: int
    begin: float  # of the steady clock, around the commit
    end: float


class Application(threading.Thread):
    def __init__(self, database, server, path, rate):
        super().__init__(daemon=True, name=f'app-{database}-{server}')
        self.database, self.server, self.path, self.pause = database, server, path, 1 / rate
        self.client = f'{server}'
        self.journal = []   # Acknowledged, in order
        self.unsure = []    # (n, error, begin): neither acknowledged nor refused
        self.reads = []     # anomalies.Read
        self.session = 1    # of the machine
        self.refused = {}   # error -> how often
        self.stopped = threading.Event()
        self.machine_is_up = threading.Event()
        self.machine_is_up.set()

    def body(self, n):
        return f'{self.database} {self.client} {n} ' + 'x' * (n % 200)

    def run(self):
        connection, n = None, 1
        while not self.stopped.is_set():
            if not self.machine_is_up.is_set():  # an application of a machine that is down
                if connection is not None:
                    self.session += 1
                connection = self.close(connection)
                self.machine_is_up.wait(0.1)
                continue
            begin = time.monotonic()
            try:
                if connection is None:
                    connection = self.connect()
                read = self.commit(connection, n)
                self.journal.append(Acknowledged(n, begin, time.monotonic()))
                if read is not None:
                    self.reads.append(Read(self.server, self.session, begin, self.journal[-1].end, True, read))
                n += 1
                self.vary(connection, n)
            except sqlite3.Error as error:
                n += self.note(n, error, begin)  # at worst a number is left out
                self.look(connection, begin, str(error))
                connection = self.close(connection)
            self.stopped.wait(self.pause)
        self.close(connection)

    def commit(self, connection, n):
        """What it has read before, in the same transaction, or None."""
        insert = 'INSERT INTO t(client, n, body) VALUES (?, ?, ?)', (self.client, n, self.body(n))
        if n % READ_ONE_IN:
            connection.execute(*insert)
            return None
        connection.execute('BEGIN IMMEDIATE')
        read = self.newest(connection)
        connection.execute(*insert)
        connection.execute('COMMIT')
        return read

    def newest(self, connection):
        """client -> its highest n among the newest rows."""
        rows = connection.execute(f'SELECT client, n FROM t ORDER BY id DESC LIMIT {READ_ROWS}').fetchall()
        return {client: n for client, n in reversed(rows)}

    def look(self, connection, begin, why):
        """A passive copy is read by those that may not write it."""
        if connection is None or 'readonly' not in why or sum(self.refused.values()) % LOOK_ONE_IN:
            return
        try:
            read = self.newest(connection)
            self.reads.append(Read(self.server, self.session, begin, time.monotonic(), False, read))
        except sqlite3.Error as error:
            self.refused[f'read: {error}'] = self.refused.get(f'read: {error}', 0) + 1

    def adds(self):
        """(client, n) -> anomalies.Add"""
        adds = {(self.client, row.n): Add(self.server, row.begin, row.end) for row in self.journal}
        return adds | {(self.client, n): Add(self.server, begin, begin, UNKNOWN) for n, _, begin in self.unsure}

    def vary(self, connection, n):
        """What else applications do: other pages, long transactions, checkpoints of their own."""
        if n % 7 == 0:
            connection.execute('INSERT OR REPLACE INTO other VALUES (?, ?)', (n * 7919 % 500, f'{self.client} {n} ' * (n % 90)))
        if n % 50 == 0:
            connection.execute('BEGIN IMMEDIATE')
            for key in range(n % 40):
                connection.execute('INSERT OR REPLACE INTO other VALUES (?, ?)', (key * 13 % 500, f'{self.client} {n}'))
                self.stopped.wait(0.001)
            connection.execute('COMMIT')
        if n % 211 == 0:
            connection.execute(f'PRAGMA wal_checkpoint({("PASSIVE", "FULL", "RESTART", "TRUNCATE")[n // 211 % 4]})')
        if n % 1999 == 0:
            connection.execute('DELETE FROM other WHERE k % 3 = 1')
            connection.execute('VACUUM')

    def connect(self):
        connection = sqlite3.connect(f'file:{self.path}?mode=rw', uri=True, timeout=BUSY_SECONDS, isolation_level=None,
                                     check_same_thread=False)
        connection.execute('PRAGMA synchronous=NORMAL')
        return connection

    def close(self, connection):
        try:
            if connection is not None:
                connection.close()
        except sqlite3.Error as error:
            self.refused[f'close: {error}'] = self.refused.get(f'close: {error}', 0) + 1

    def note(self, n, error, begin):
        """1: the row may be there."""
        text = str(error)
        self.refused[text] = self.refused.get(text, 0) + 1
        if any(word in text for word in ('readonly', 'locked', 'unable to open')):
            return 0
        self.unsure.append((n, text, begin))
        return 1


class Confirmer(threading.Thread):
    """Learns what is known to be durable on all passive copies: (server, from, to) of acknowledged commits."""

    def __init__(self, group, database):
        super().__init__(daemon=True, name=f'confirm-{database}')
        self.group, self.database = group, database
        self.confirmed = {}  # (server, term) -> [from, to]
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.5):
            self.look()

    def active(self):
        status = self.group.ask_any('status', self.database)
        return (status['databases'][0]['active'], status['databases'][0]['term']) if status else None

    def look(self):
        before = self.active()
        now = time.monotonic()
        if before is None:
            return
        result = self.group.run(before[0], 'wait', self.database, '--durable', '--timeout', '3s', seconds=10)
        if result.returncode == 0 and self.active() == before:
            self.confirmed.setdefault(before, [now, now])[1] = now

    def covers(self, server, row):
        return any(of == server and begin <= row.begin and row.end <= end
                   for (of, _), (begin, end) in self.confirmed.items())


class Workload:
    def __init__(self, group, databases, rate=50):
        """`databases`: name -> {server: path}."""
        self.applications = {(name, server): Application(name, server, path, rate)
                             for name, paths in databases.items() for server, path in paths.items()}
        self.confirmers = {name: Confirmer(group, name) for name in databases}
        for thread in self.threads():
            thread.start()

    def threads(self):
        return [*self.applications.values(), *self.confirmers.values()]

    def of(self, database):
        return [application for (name, _), application in self.applications.items() if name == database]

    def machine(self, server, up):
        for (_, of_server), application in self.applications.items():
            if of_server == server:
                application.machine_is_up.set() if up else application.machine_is_up.clear()

    def count(self, database, server=None):
        return sum(len(app.journal) for app in self.of(database) if server in (None, app.server))

    def last(self, database):
        """The newest acknowledged commit: (end, server)."""
        ends = [(app.journal[-1].end, app.server) for app in self.of(database) if app.journal]
        return max(ends, default=(0.0, ''))

    def stop(self):
        for thread in self.threads():
            thread.stopped.set()
        for thread in self.threads():
            thread.join(60)
