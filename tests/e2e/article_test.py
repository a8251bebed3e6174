#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""KB 4037535, sentence by sentence: a passive copy on a remote site is backed up, and nothing of the article breaks it.

    article_test.py UNDERSTUDY [TEST…]

Two servers on the main site, the third on a remote one; every frame between them passes a device (faults/device.py) that
delays, forgets idle connections, scans, aborts and cuts. The active copy on the main site is written all the time. Each
backup is restored and compared with what was acknowledged. Needs root. Exit code 77: skipped.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from faults import network
from faults.group import Failed, NamespaceGroup, wait_until

SKIPPED = 77
UNDERSTUDY = ''
SERVERS, REMOTE, DATABASE = ('s1', 's2', 's3'), 's3', 'mail'
ROWS_BEFORE, ROW_BYTES = 6000, 2000     # 12 MB: a backup takes a moment
WRITES_PER_SECOND = 100
DEFAULTS = {'QueryLogRangeTimeoutInMsec': '30000', 'BackupLeaseInMsec': '60000'}
LOG_COPIER_LOST, ALONE, KNOWN_AGAIN, COMPLETED, DISMOUNTED = 2153, 2043, 2044, 2041, 2014


class Writer(threading.Thread):
    """A busy application that follows the active copy. Asks what is there when it connects anew, then counts on."""

    def __init__(self, paths):
        super().__init__(daemon=True)
        self.paths, self.acknowledged, self.stopped = paths, 0, threading.Event()
        self.down = ''  # the path on a machine that is off

    def run(self):
        connection, turn, n = None, 0, 1
        while not self.stopped.wait(1 / WRITES_PER_SECOND):
            try:
                if self.paths[turn] == self.down:
                    raise sqlite3.OperationalError('the machine is off')
                if connection is None:
                    connection = sqlite3.connect(f'file:{self.paths[turn]}?mode=rw', uri=True, timeout=0.2,
                                                 isolation_level=None)
                    n = connection.execute("SELECT coalesce(max(n), 0) + 1 FROM t WHERE client = 'app'").fetchone()[0]
                connection.execute("INSERT INTO t(client, n, body) VALUES ('app', ?, ?)", (n, 'x' * (n % 300)))
                self.acknowledged = n
                n += 1
            except sqlite3.Error:
                if connection is not None:
                    connection.close()
                connection, turn = None, (turn + 1) % len(self.paths)
        if connection is not None:
            connection.close()


class Article(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if network.why_not():
            raise unittest.SkipTest(network.why_not())
        cls.directory = tempfile.mkdtemp(prefix='understudy-article-')
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.network = network.Network(SERVERS, remote=REMOTE)
        cls.device = cls.network.device
        cls.group = NamespaceGroup(cls.directory, UNDERSTUDY, cls.network, len(SERVERS), lease=6)
        cls.addClassCleanup(cls.group.close)
        cls.group.start_all()
        paths = cls.group.add_database(DATABASE, 's1')
        connection = sqlite3.connect(paths['s1'])
        connection.executemany('INSERT INTO t(client, n, body) VALUES (\'before\', ?, hex(randomblob(?)))',
                               [(n, ROW_BYTES // 2) for n in range(ROWS_BEFORE)])
        connection.commit()
        connection.close()
        cls.group.ok('s1', 'wait', DATABASE, '--replayed', seconds=60)
        cls.writer = Writer([paths[server] for server in SERVERS])
        cls.writer.start()
        cls.addClassCleanup(cls.writer.stopped.set)

    def setUp(self):
        self.repository = self.group.path('repository', self._testMethodName)
        self.events_before = {event['id'] for event in self.all_events()}

    def tearDown(self):
        device = self.device
        device.delay, device.cut, device.idle_max, device.scan_bytes, device.frame_max = 0, False, 0, 0, 0
        self.writer.down = ''
        for server in SERVERS:
            if not self.group.daemon_pid(server):
                self.group.start(server)
        for name, default in DEFAULTS.items():
            wait_until(f'{name} can be set', lambda name=name, default=default:
                       self.group.run(REMOTE, 'config', 'set', name, default).returncode == 0)
        wait_until(lambda: f'all copies are healthy: {self.group.copies(DATABASE)}',
                   lambda: self.group.is_healthy(DATABASE))
        self.move_to('s1')

    # --- what a person does ---

    def move_to(self, server):
        if self.active() != server:
            self.group.ok(self.active(), 'switchover', DATABASE, '--to', server, '--force')  # a turn may be given back late

    def active(self):
        return self.group.ask_any('status', DATABASE)['databases'][0]['active']

    def all_events(self):
        return self.group.ask_any('events', '--limit', '2000')['events']

    def events(self, number, server=REMOTE):
        return [event for event in self.all_events() if event['id'] not in self.events_before
                and event['number'] == number and event['server'] == server]

    def backup(self, *options, server=REMOTE):
        """Of the passive copy there, into a directory of that site."""
        began = time.monotonic()
        result = self.group.run(server, 'backup', 'run', DATABASE, '--from', server, '--to', self.repository, *options,
                                '-o', 'json', seconds=120)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.took = time.monotonic() - began
        return json.loads(result.stdout)['backup']

    def session(self, script='true', server=REMOTE):
        """A requester that copies the snapshot when the file `go` is there: the session lasts for as long as we want."""
        go, copied = self.group.path(f'go-{self._testMethodName}'), self.group.path(f'copied-{self._testMethodName}.db')
        words, environment = self.group.words(server)
        process = subprocess.Popen([*words, 'backup', 'exec', DATABASE, '--from', server, '--', 'sh', '-c',
                                    f'for i in $(seq 2400); do [ -e {go} ] && break; sleep 0.05; done; '
                                    f'cp "$UNDERSTUDY_SNAPSHOT" {copied}; {script}'],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(process.kill)
        wait_until('the requester may copy', lambda: self.state(server) == 5)
        return process, go, copied

    def end(self, session):
        process, go, copied = session
        open(go, 'w', encoding='ascii').close()
        self.assertEqual(process.wait(60), 0, process.stderr.read())
        self.assert_whole(copied)

    def writer_of(self, server=REMOTE):
        writers = self.group.ask(server, 'writers', DATABASE)['writers']
        return next(writer for writer in writers if writer['server'] == server)

    def state(self, server=REMOTE):
        return self.writer_of(server)['state']['number']

    # --- what must be true ---

    def assert_whole(self, path, at_least=0):
        connection = sqlite3.connect(f'file:{path}?mode=ro', uri=True)
        self.assertEqual(connection.execute('PRAGMA integrity_check').fetchone()[0], 'ok')
        self.assertEqual(connection.execute("SELECT count(*) FROM t WHERE client = 'before'").fetchone()[0], ROWS_BEFORE)
        rows, last = connection.execute("SELECT count(*), max(n) FROM t WHERE client = 'app'").fetchone()
        connection.close()
        self.assertEqual(rows, last or 0, 'rows between are missing')
        self.assertGreaterEqual(rows, at_least)

    def assert_restorable(self, at_least=0):
        restored = self.group.path(f'restored-{self._testMethodName}.db')
        self.group.ok(REMOTE, 'restore', '--repo', self.repository, '--db', DATABASE, '--output', restored, seconds=60)
        self.assert_whole(restored, at_least)

    def assert_succeeded(self, server=REMOTE):
        writer = self.writer_of(server)
        self.assertEqual(writer['state']['number'], 1)
        self.assertIsNone(writer['last_session']['failure'])

    def current(self):
        """What was acknowledged until now and is on the remote site."""
        acknowledged = self.writer.acknowledged
        self.group.ok('s1', 'wait', DATABASE, '--replayed', seconds=60)
        return acknowledged

    # --- Cause: "network issues that block or interrupt communication on the RPC channel" ---

    def test_an_established_connection_is_aborted(self):
        """Symptom, event 2153: 'An established connection was aborted'. It is, again and again, during the backup."""
        expected = self.current()
        session = self.session()
        for _ in range(5):
            aborted = self.device.aborted
            self.device.abort_all()
            wait_until('connections were aborted', lambda aborted=aborted: self.device.aborted > aborted)
            wait_until('they are made anew', lambda: self.group.is_healthy(DATABASE))
        wait_until('it is told of', lambda: self.events(LOG_COPIER_LOST))
        self.assertIn('s1', self.events(LOG_COPIER_LOST)[0]['message'])
        self.end(session)
        self.assert_succeeded()
        self.backup()
        self.assert_restorable(expected)

    def test_communication_is_blocked_for_longer_than_the_lease(self):
        """'The RPC channel should be open during the backup': here it is closed, and nobody is told."""
        self.group.ok(REMOTE, 'config', 'set', 'BackupLeaseInMsec', '2000')
        session = self.session()
        self.device.cut = True
        wait_until('it goes on alone', lambda: self.state() == 5 and self.said_locally(ALONE))
        self.device.cut = False
        wait_until('the active server knows of it again', lambda: self.events(KNOWN_AGAIN))
        self.end(session)
        self.assert_succeeded()

    def test_the_remote_site_is_cut_off(self):
        """Nobody is reached, not even the coordinator: the copy there is seen, and backed up, all the same."""
        self.group.ok(REMOTE, 'config', 'set', 'QueryLogRangeTimeoutInMsec', '1000')
        expected = self.current()
        self.device.cut = True

        def remembered():
            return (self.group.ask(REMOTE, 'status', DATABASE) or {}).get('coordinator_silence_ms', 0) > 0
        wait_until('it answers from memory', remembered)
        seen = self.group.run(REMOTE, 'status', DATABASE)
        self.assertIn('the server has not heard the coordinator for', seen.stderr)
        copies = {copy['server']: copy for copy in self.group.ask(REMOTE, 'status', DATABASE)['databases'][0]['copies']}
        self.assertTrue(copies[REMOTE]['state'].endswith('Healthy'), copies)
        self.assertEqual(self.group.ask(REMOTE, 'writers', DATABASE)['silent'], ['s1', 's2'])
        for question in (['server', 'list'], ['db', 'list'], ['holds', DATABASE], ['config', 'get']):
            self.assertGreater(self.group.ask(REMOTE, *question)['coordinator_silence_ms'], 0, question)
        checks = self.group.run(REMOTE, 'health', '--all', '-o', 'json')
        self.assertIn(f'{DATABASE}@{REMOTE}', [check['about'] for check in json.loads(checks.stdout)['checks']])
        self.backup()
        self.assertLess(self.took, 60)  # 8 s on a quiet machine
        own = self.group.run(REMOTE, 'events', '--id', f'{ALONE},{COMPLETED}')
        self.assertIn("these are the server's own events", own.stderr)
        self.assertIn('did not answer within 1000 ms', own.stdout)
        directory = self.group.data(REMOTE)
        files = json.loads(self.group.ok(REMOTE, 'events', '--from', directory, '--id', str(COMPLETED), '-o', 'json'))
        self.assertEqual({event['server'] for event in files['events']}, {REMOTE})
        self.device.cut = False
        wait_until('what happened is told of', lambda: any(
            'did not answer within 1000 ms' in event['message'] for event in self.events(ALONE)))
        self.assert_restorable(expected)
        self.assert_succeeded()

    def said_locally(self, number):
        """A server without its coordinator cannot publish an event: its log has it."""
        return str(number) in self.group.output(REMOTE, 200_000)

    # --- Resolution ---

    def test_security_software_scans(self):
        """'Security software that has network scanning functionality can cause the issue.'"""
        expected = self.current()
        self.device.scan_bytes, self.device.scan_seconds = 200_000, 1.5
        self.backup()
        self.device.scan_seconds = 0  # aborts what it does not like
        aborted = self.device.aborted
        wait_until('something was aborted', lambda: self.device.aborted > aborted)
        self.backup()
        self.device.scan_bytes = 0
        self.assert_restorable(expected)
        self.assert_succeeded()

    def test_the_device_forgets_idle_connections(self):
        """'KeepAliveTime should be less than the idle session timeout': heartbeats are, and where not, it does not matter."""
        self.device.idle_max = 1.5   # heartbeats come every 0.5 s
        session = self.session()
        forgotten = self.device.forgotten
        before = self.writer.acknowledged
        wait_until('time has passed', lambda: self.writer.acknowledged > before + 3 * WRITES_PER_SECOND)
        self.assertEqual(self.events(LOG_COPIER_LOST), [])
        self.end(session)
        self.device.idle_max = 0.05  # no connection survives this for long
        wait_until('connections are forgotten', lambda: self.device.forgotten > forgotten)
        self.backup()
        self.assert_succeeded()
        self.assert_restorable()

    def test_the_time_for_the_log_range_is_too_short(self):
        """'To increase the timeout value …, restart the service': it is increased while everything runs."""
        self.group.ok(REMOTE, 'config', 'set', 'QueryLogRangeTimeoutInMsec', '200')
        self.device.delay = 0.15
        self.backup()
        def alone(milliseconds):  # events of an earlier backup may come late
            return [event for event in self.events(ALONE)
                    if f'did not answer within {milliseconds} ms (QueryLogRangeTimeoutInMsec)' in event['message']]
        wait_until('it is told of', lambda: alone(200))
        self.device.delay = 0
        self.group.ok(REMOTE, 'config', 'set', 'QueryLogRangeTimeoutInMsec', '20000')
        self.device.delay = 0.15
        self.backup()
        self.device.delay = 0
        last = self.writer_of()['last_session']['id']
        wait_until('its end is told of', lambda: any(last in event['message'] for event in self.events(COMPLETED)))
        self.assertEqual(alone(20000), [], 'asked for long enough, the active server answers')
        self.assertEqual(self.events(DISMOUNTED, 's1'), [], 'a long line costs the active copy nothing')
        self.assert_restorable()

    # --- Considerations ---

    def test_the_active_server_is_too_busy_to_answer(self):
        """'If the active database server is busy, the query may take longer': it does not answer at all, for a while."""
        self.group.ok(REMOTE, 'config', 'set', 'QueryLogRangeTimeoutInMsec', '1000')
        expected = self.current()
        os.kill(self.group.daemon_pid('s1'), 19)  # shorter than its lease
        try:
            self.backup()
        finally:
            os.kill(self.group.daemon_pid('s1'), 18)
        self.assertLess(self.took, 60)  # 8 s on a quiet machine
        self.assert_restorable(expected)
        self.assert_succeeded()

    def test_active_and_passive_copies_are_backed_up_at_the_same_time(self):
        """'Otherwise, you will experience backup failure and the RETRYABLE error.'"""
        session = self.session()
        refused = self.group.run('s1', 'backup', 'run', DATABASE, '--from', 'active', '--no-wait', '--to', self.repository)
        self.assertEqual(refused.returncode, 1)
        self.assertIn('of the passive copy on s3, for backup exec', refused.stderr)
        waiting = threading.Thread(target=self.backup, args=('--wait', '60s'), kwargs={'server': 's1'})
        waiting.start()
        wait_until('it waits for its turn', lambda: self.group.ask('s1', 'holds', DATABASE)['waiting'])
        self.end(session)
        waiting.join(90)
        self.assert_restorable()
        self.assert_succeeded('s1')

    def test_the_database_is_moved(self):
        """'During backup, databases shouldn't be moved to another Exchange server in the DAG.'"""
        session = self.session()
        refused = self.group.run('s1', 'switchover', DATABASE, '--to', 's2')
        self.assertEqual(refused.returncode, 1)
        self.assertIn('is not moved while its backup runs', refused.stderr)
        self.group.ok('s1', 'switchover', DATABASE, '--to', 's2', '--force')
        acknowledged = self.writer.acknowledged
        wait_until('it is written there', lambda: self.writer.acknowledged > acknowledged + 10)
        self.end(session)
        self.assert_succeeded()
        self.backup()
        self.assert_restorable(acknowledged)

    def test_the_active_server_dies(self):
        session = self.session()
        self.writer.down = self.writer.paths[0]
        self.group.kill('s1')
        wait_until('another copy is active', lambda: self.active() == 's2')
        acknowledged = self.writer.acknowledged
        wait_until('it is written there', lambda: self.writer.acknowledged > acknowledged + 10)
        self.end(session)
        self.assert_succeeded()
        self.backup()
        self.group.start('s1')
        self.assert_restorable()


if __name__ == '__main__':
    UNDERSTUDY = os.path.abspath(sys.argv[1])
    program = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2, exit=False)
    whole = program.result
    sys.exit(SKIPPED if whole.skipped and whole.testsRun == 0 else not whole.wasSuccessful())
