# SPDX-License-Identifier: Apache-2.0
"""Scene: a group with two databases, the applications that write them, and the faults that are under way."""

import collections
import shutil
import tempfile
import time

from faults import faults, network
from faults.checker import Checker
from faults.group import Failed, LabGroup, NamespaceGroup, wait_until
from faults.history import History
from faults.workload import Workload

LEASE_SECONDS = 3
DISK_BYTES = 224 << 20  # an etcd member takes 64 MiB of it at once
DESCRIPTORS_MORE_MAX = 16


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
