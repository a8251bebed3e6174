#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real faults on real processes, with applications that write all the time; then what was promised is checked.

    faults_test.py UNDERSTUDY [TEST…]                       a fixed set of scenarios
    faults_test.py UNDERSTUDY --seconds N [--seed S] [--servers 3] [--lab] [--etcd own|managed] [--keep]
                                                            random faults for as long as asked

Daemons and etcd members run in network namespaces, which needs root, or (--lab, and where there is no root) in a lab.
faults/checker.py says what a violation is; faults/faults.py which faults there are. Exit code 77: all was skipped.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import unittest

from faults import faults, network
from faults.checker import Checker
from faults.group import Failed, LabGroup, NamespaceGroup, pause, wait_until
from faults.history import History
from faults.nemesis import Nemesis
from faults.workload import Workload

LEASE_SECONDS = 2
DISK_BYTES = 224 << 20
DESCRIPTORS_MORE_MAX = 16
SKIPPED = 77
OPTIONS = None  # of the command line


class Scene:
    """A group with two databases, their applications, and what the checker has to know."""

    def __init__(self, understudy, *, servers=3, lab=False, etcd='managed', supervise=(), clocks=(), small_disk='',
                 failsafe=False, rate=50, verbose=True):
        self.verbose, self.began = verbose, time.monotonic()
        self.directory = tempfile.mkdtemp(prefix='understudy-faults-')
        self.network, self.group, self.workload, self.history = None, None, None, None
        self.small_disk, self.downs, self.crashes = small_disk, [], []
        self.injected = []  # faults that are not healed yet
        try:
            self._start(understudy, servers, lab, etcd, supervise, clocks, failsafe, rate)
        except BaseException:
            self.close()
            raise

    def _start(self, understudy, servers, lab, etcd, supervise, clocks, failsafe, rate):
        names = [f's{number + 1}' for number in range(servers)]
        if lab:
            self.group = LabGroup(self.directory, understudy, servers, lease=LEASE_SECONDS)
        else:
            self.network = network.Network(names)
            self.group = NamespaceGroup(self.directory, understudy, self.network, servers, lease=LEASE_SECONDS, etcd=etcd,
                                        supervise=supervise, clocks=clocks)
        if self.small_disk:
            faults.mount_small_disk(self.group.data(self.small_disk), DISK_BYTES)
        self.group.start_all()
        if failsafe:
            self.group.ok('s1', 'activation', 'failsafe', 'on')
        self.paths = {'orders': self.group.add_database('orders', 's1'), 'stock': self.group.add_database('stock', 's2')}
        self.history = History(self.group, self.paths)
        self.history.start()
        self.workload = Workload(self.group, self.paths, rate)
        for name in self.paths:
            wait_until(f'{name} is written', lambda name=name: self.workload.count(name) > 20)
        self.descriptors = self.group.descriptors()
        self.say(f'the group is up{", in failsafe mode" if failsafe else ""}')

    def say(self, text):
        if self.verbose:
            print(f'{time.monotonic() - self.began:7.2f}  {text}', flush=True)

    def active(self, database):
        answer = self.group.ask_any('status', database)
        return answer['databases'][0]['active'] if answer else ''

    def passives(self, database):
        return [server for server in self.group.servers if server != self.active(database)]

    def inject(self, fault):
        self.say(str(fault))
        fault.inject(self)
        self.injected.append(fault)
        return fault

    def heal(self, fault):
        self.say(f'over: {fault}')
        self.injected.remove(fault)
        fault.heal(self)

    def await_writes(self, database, servers, more=20, seconds=60):
        """Until applications on one of `servers` have written. How long that took."""
        begin = time.monotonic()
        before = {server: self.workload.count(database, server) for server in servers}
        wait_until(lambda: f'{database} is written on one of {servers}: {self.told()}', lambda: any(
            self.workload.count(database, server) >= count + more for server, count in before.items()), seconds)
        return time.monotonic() - begin

    def told(self):
        return ' '.join(f'{app.database}/{app.server}:{len(app.journal)}' for app in self.workload.applications.values())

    def settle(self):
        """Between two scenarios: everything is healthy again."""
        for name in self.paths:
            wait_until(lambda name=name: f'{name} is healthy: {self.group.copies(name)}',
                       lambda name=name: self.group.is_healthy(name), 120)

    def check(self):
        """Ends the workload; the violations."""
        self.restart_ended()
        checker = Checker(self.group, self.workload, self.history, self.paths, self.downs)
        try:
            for database in self.paths:
                checker.settle(database)
            self.workload.stop()
            self.history.stop()
            checker.check()
        except Failed as failure:
            checker.violation(str(failure))
        checker.violations += self.crashes + self.leaks()
        for note in checker.notes:
            self.say(note)
        return checker.violations

    def restart_ended(self):
        for server, code in self.group.restart_ended():
            self.say(f'the daemon of {server} had ended by itself: {code}')
            if code < 0 or code > 2:
                self.crashes.append(f'the daemon of {server} ended with {code}: {self.group.output(server)}')

    def leaks(self):
        now = self.group.descriptors()
        return [f'the daemon of {server} has {now[server, pid]} descriptors open, at the start it had {before}'
                for (server, pid), before in self.descriptors.items()
                if now.get((server, pid), 0) > before + DESCRIPTORS_MORE_MAX]

    def tell_events(self, severities=('error',)):
        events = self.group.events()
        counts = collections.Counter(event['number'] for event in events)
        self.say(f'events: {dict(sorted(counts.items()))}')
        for event in events:
            if event['severity'] in severities:
                self.say(f'{event["time"]} {event["number"]} {event["server"]} {event["database"]}: {event["message"]}')

    def close(self, keep=False):
        for part in (self.workload, self.history):
            if part is not None:
                part.stop()
        if self.group is not None:
            self.group.close()
        elif self.network is not None:
            self.network.close()
        if self.small_disk and self.group is not None:
            faults.unmount(self.group.data(self.small_disk), keep)
        if keep:
            print(f'kept: {self.directory}')
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


class FaultsCase(unittest.TestCase):
    """One group for all scenarios of a class; each leaves it healthy. What was promised is checked at the end."""
    options = {}

    @classmethod
    def setUpClass(cls):
        if not cls.options.get('lab') and network.why_not():
            raise unittest.SkipTest(network.why_not())
        cls.scene = Scene(OPTIONS.understudy, **cls.options)

    @classmethod
    def tearDownClass(cls):
        try:
            violations = cls.scene.check()
            cls.scene.tell_events()
        finally:
            cls.scene.close()
        if violations:
            raise AssertionError('VIOLATIONS: ' + '; '.join(violations))

    def setUp(self):
        print(flush=True)
        self.scene.settle()

    def tearDown(self):
        for fault in list(self.scene.injected):  # of a scenario that failed
            self.scene.heal(fault)

    def other(self, server):
        return next(name for name in self.scene.group.servers if name != server)

    def others(self, server):
        return [name for name in self.scene.group.servers if name != server]

    def assert_taken_over(self, fault, server, database='orders'):
        """While `fault` lasts, another server's copy is written, and from then on nothing is on `server`."""
        scene = self.scene
        took = scene.await_writes(database, self.others(server))
        stray = scene.workload.count(database, server)
        scene.await_writes(database, self.others(server))
        self.assertEqual(scene.workload.count(database, server), stray, 'the former active copy is written')
        scene.say(f'{database}: another copy was written {took:.1f} s after "{fault}"')

    def assert_stops(self, database='orders', seconds=LEASE_SECONDS):
        """Nobody can write any more, before the lease has ended."""
        begin = time.monotonic()
        wait_until('nobody can write', lambda: time.monotonic() - self.scene.workload.last(database)[0] > 0.6)
        after = self.scene.workload.last(database)[0] - begin
        self.scene.say(f'{database}: the last commit was {after:.1f} s after the fault')
        self.assertLess(after, seconds)


class Partitions(FaultsCase):
    def test_the_active_copys_server_is_isolated(self):
        active = self.scene.active('orders')
        fault = self.scene.inject(faults.isolate(self.scene.group.servers, active))
        self.assert_taken_over(fault, active)
        self.scene.heal(fault)

    def test_it_hears_nobody(self):
        active = self.scene.active('orders')
        fault = self.scene.inject(faults.deaf(self.scene.group.servers, active))
        self.assert_taken_over(fault, active)
        self.scene.heal(fault)

    def test_no_two_servers_hear_each_other(self):
        servers = self.scene.group.servers
        fault = self.scene.inject(faults.Rules('everybody alone', [(a, b) for a in servers for b in servers if a != b]))
        self.assert_stops('orders')
        self.assert_stops('stock', LEASE_SECONDS + 2)
        self.scene.heal(fault)
        self.scene.await_writes('orders', servers)


class Processes(FaultsCase):
    options = {'supervise': ('s1',), 'etcd': 'own', 'small_disk': 's3', 'rate': 40}

    def test_a_frozen_daemon_acknowledges_nothing_afterwards(self):
        active = self.scene.active('orders')
        fault = self.scene.inject(faults.Frozen(active))
        self.scene.await_writes('orders', self.others(active))
        self.scene.heal(fault)
        # The checker allows an application some seconds; what follows is what a daemon does at once.
        path = self.scene.paths['orders'][active]
        wait_until('the former active copy refuses writes', lambda: is_refused(path), 10)
        after = self.scene.workload.count('orders', active)
        self.scene.settle()
        self.assertEqual(self.scene.workload.count('orders', active), after)

    def test_a_supervised_daemon_that_dies(self):
        self.move('orders', 's1')
        fault = self.scene.inject(faults.Killed('s1'))
        wait_until('the supervisor starts it again', lambda: self.scene.group.daemon_pid('s1') != 0)
        self.scene.heal(fault)
        self.scene.await_writes('orders', self.scene.group.servers)

    def test_a_daemon_that_starts_without_etcd(self):
        """Nobody may go on writing what it had mounted, though it has no way to ask who is active."""
        self.move('orders', 's2')
        cut = self.scene.inject(faults.isolate(self.scene.group.servers, 's2'))
        kill = self.scene.inject(faults.Killed('s2'))
        self.assertFalse(is_refused(self.scene.paths['orders']['s2']))
        begin = time.monotonic()
        self.scene.heal(kill)
        wait_until('it is fenced', lambda: is_refused(self.scene.paths['orders']['s2']), 10)
        took = time.monotonic() - begin
        self.scene.say(f'fenced {took:.1f} s after its start')
        self.assertLess(took, 2.8)  # it was after the first attempt to reach etcd: 3 s and more
        self.scene.await_writes('orders', ['s1', 's3'])
        self.scene.heal(cut)

    def test_a_killed_daemon_whose_applications_go_on(self):
        active = 's2'  # without a supervisor
        self.move('stock', active)
        fault = self.scene.inject(faults.Killed(active))
        before = self.scene.workload.count('stock', active)
        self.scene.await_writes('stock', self.others(active))
        self.assertGreater(self.scene.workload.count('stock', active), before)  # nobody followed these
        self.scene.heal(fault)

    def test_one_etcd_member_is_lost_then_two(self):
        one = self.scene.inject(faults.MembersLost(['s2']))
        self.scene.await_writes('orders', self.scene.group.servers)
        two = self.scene.inject(faults.MembersLost(['s3']))
        self.assert_stops('orders', LEASE_SECONDS + 1)
        self.scene.heal(two)
        self.scene.await_writes('orders', self.scene.group.servers)
        self.scene.heal(one)

    def test_the_disk_of_a_server_is_full(self):
        self.move('stock', 's3')
        fault = self.scene.inject(faults.DiskFull('s3'))
        self.scene.await_writes('orders', self.scene.group.servers)
        wait_until(lambda: f's3 has a trouble: {self.scene.group.copies("orders")}', lambda: any(
            self.scene.group.copies(name).get('s3', {}).get('error') for name in ('orders', 'stock')))
        self.scene.heal(fault)
        self.scene.await_writes('stock', self.scene.group.servers)

    def move(self, database, server):
        if self.scene.active(database) != server:
            self.scene.group.ok(self.scene.active(database), 'switchover', database, '--to', server)
            self.scene.await_writes(database, [server])
            self.scene.settle()


class WithoutCoordinator(FaultsCase):
    options = {'etcd': 'own', 'failsafe': True, 'clocks': ('s1',)}

    def test_all_servers_agree_to_go_on_until_one_is_cut_off(self):
        servers = self.scene.group.servers
        active = self.scene.active('orders')
        etcd = self.scene.inject(faults.MembersLost(servers))
        self.scene.await_writes('orders', [active], more=6 * 50)  # through more than two leases
        cut = self.scene.inject(faults.isolate(servers, active))
        self.assert_stops('orders', 2 * LEASE_SECONDS)
        self.scene.heal(etcd)
        self.scene.await_writes('orders', self.others(active))
        self.scene.heal(cut)

    def test_a_clock_is_set_back_while_its_server_is_cut_off(self):
        self.scene.group.step_clock('s1', 100_000)
        cut = self.scene.inject(faults.without_etcd(self.scene.group.servers, 's1'))
        step = self.scene.inject(faults.ClockStep('s1', 10))
        pause(2)
        self.scene.heal(cut)
        self.scene.settle()  # s1 stayed away for as long as the step
        self.scene.heal(step)


class FiveServers(FaultsCase):
    options = {'servers': 5}

    def test_minority_with_the_active_copy(self):
        active = self.scene.active('orders')
        some = [active, self.other(active)]
        rest = [server for server in self.scene.group.servers if server not in some]
        fault = self.scene.inject(faults.partition(some, rest))
        self.assert_taken_over(fault, active)
        self.scene.heal(fault)

    def test_ring(self):
        fault = self.scene.inject(faults.ring(self.scene.group.servers))
        self.scene.await_writes('orders', self.scene.group.servers, more=150)
        self.scene.heal(fault)


class InALab(FaultsCase):
    """What needs no root."""
    options = {'lab': True}

    def test_links_are_cut_and_the_active_copys_daemon_freezes(self):
        active = self.scene.active('orders')
        link = self.scene.inject(faults.LabLink('half_open', active, self.other(active)))
        fault = self.scene.inject(faults.Frozen(active, with_member=True))
        self.scene.await_writes('orders', self.others(active))
        self.scene.heal(fault)
        self.scene.heal(link)

    def test_the_active_copys_daemon_is_killed(self):
        active = self.scene.active('orders')
        fault = self.scene.inject(faults.Killed(active, machine=True))
        self.scene.await_writes('orders', self.others(active))
        self.scene.heal(fault)


def is_refused(path):
    connection = sqlite3.connect(f'file:{path}?mode=rw', uri=True, timeout=1, isolation_level=None)
    try:
        connection.execute('BEGIN IMMEDIATE')
        connection.execute('ROLLBACK')
        return False
    except sqlite3.OperationalError as error:
        return 'readonly' in str(error)
    finally:
        connection.close()


def run_random(options):
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    lab = options.lab or bool(network.why_not())
    if lab and not options.lab:
        print(f'in a lab: {network.why_not()}')
    print(f'faults_test.py --seconds {options.seconds} --seed {seed} --servers {options.servers}'
          f'{" --lab" if lab else ""} --etcd {options.etcd}', flush=True)
    choice = random.Random(seed)
    names = [f's{number + 1}' for number in range(options.servers)]
    scene = Scene(options.understudy, servers=options.servers, lab=lab, etcd=options.etcd,
                  supervise=() if lab else choice.sample(names, 1), small_disk='' if lab else choice.choice(names),
                  failsafe=choice.random() < 0.4 if options.failsafe is None else options.failsafe == 'on',
                  clocks=choice.sample(names, 1) if shutil.which('cc') and not lab else ())
    keep = options.keep
    try:
        Nemesis(scene, seed, scene.say).run(options.seconds)
        scene.say('all faults are over')
        violations = scene.check()
        scene.tell_events(('error', 'warning') if options.verbose else ('error',))
        for violation in violations:
            print('VIOLATION:', violation)
        keep = keep or bool(violations and options.keep_failed)
        return 1 if violations else 0
    except BaseException as error:
        print('FAILED:', error)
        keep = keep or options.keep_failed
        raise
    finally:
        scene.close(keep)


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('understudy')
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--seed', type=int)
    parser.add_argument('--servers', type=int, default=3)
    parser.add_argument('--lab', action='store_true')
    parser.add_argument('--etcd', choices=('own', 'managed'), default='managed')
    parser.add_argument('--failsafe', choices=('on', 'off'))
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--keep-failed', action='store_true')
    parser.add_argument('--verbose', action='store_true')
    options, rest = parser.parse_known_args()
    options.understudy = os.path.abspath(options.understudy)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended by SIGTERM'))  # so that everything is removed
    if shutil.which('etcd') is None:
        print('skipped: etcd is not installed')
        return SKIPPED
    if options.seconds is not None:
        return run_random(options)
    global OPTIONS
    OPTIONS = options
    program = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False)
    return 0 if program.result.wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main())
