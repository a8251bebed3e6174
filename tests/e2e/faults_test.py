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
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
import unittest

from faults import faults, network
from faults.group import pause, wait_until
from faults.nemesis import Nemesis
from faults.scene import LEASE_SECONDS, Scene

SKIPPED = 77
OPTIONS = None  # of the command line


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
        self.scene.await_writes('orders', ['s2'])
        kill = self.scene.inject(faults.Killed('s2'))
        cut = self.scene.inject(faults.isolate(self.scene.group.servers, 's2'))
        self.assertFalse(is_refused(self.scene.paths['orders']['s2']))
        begin = time.monotonic()
        self.scene.heal(kill)
        wait_until('it is fenced', lambda: is_refused(self.scene.paths['orders']['s2']), 10)
        took = time.monotonic() - begin
        self.scene.say(f'fenced {took:.1f} s after its start')
        self.assertLess(took, LEASE_SECONDS)  # it was after the first attempt to reach etcd: 3 s and more
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

    def test_the_clock_is_set_back_while_its_server_is_cut_off(self):
        self.scene.group.step_clock('s1', 100_000)
        cut = self.scene.inject(faults.without_etcd(self.scene.group.servers, 's1'))
        faults.ClockStep('s1', 0).inject(self.scene)
        pause(2)
        self.scene.heal(cut)
        self.scene.settle()  # s1 stayed away for as long as the step


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
