# SPDX-License-Identifier: Apache-2.0
"""Random faults from a seed: up to two at once, each for a few seconds, with pauses between them.

The seed decides which faults come, on whom and for how long; what they meet is the processes' business, so a run is
alike, not the same.
"""

import random
import time

from faults import faults
from faults.group import pause

FAULTS_AT_ONCE_MAX = 2


class Nemesis:
    def __init__(self, scene, seed, say):
        self.scene, self.random, self.say = scene, random.Random(seed), say
        self.active = []  # (heals at, fault, what it holds)

    def kinds(self):
        """(weight, make): make returns a fault and what no other fault may touch meanwhile, or None."""
        group, pick = self.scene.group, self.random
        servers = group.servers

        def some():
            mixed = pick.sample(servers, len(servers))
            count = pick.randint(1, len(servers) - 1)
            return mixed[:count], mixed[count:]

        def process(make):
            server = pick.choice(servers)
            return make(server), {server}

        def unsupervised(make):
            server = pick.choice([server for server in servers if server not in group.supervise])
            return make(server), {server}

        def link(how):
            return lambda: (faults.LabLink(how, *sorted(pick.sample(servers, 2))), {'links'})

        kinds = [
            (4, lambda: process(lambda server: faults.Killed(server, machine=pick.random() < 0.3))),
            (3, lambda: (faults.Switched(pick.choice(sorted(self.scene.paths))), set())),
            (4, lambda: process(lambda server: faults.Frozen(server, with_member=pick.random() < 0.3)))]
        if self.scene.network is None:
            return kinds + [(2, link(how)) for how in ('cut', 'half_open', 'slow')]
        kinds += [
            (4, lambda: (faults.isolate(servers, pick.choice(servers)), {'net'})),
            (2, lambda: unsupervised(faults.Stopped)),
            (3, lambda: (faults.partition(*some()), {'net'})),
            (2, lambda: (faults.deaf(servers, pick.choice(servers)), {'net'})),
            (2, lambda: (faults.mute(servers, pick.choice(servers)), {'net'})),
            (2, lambda: (faults.without_etcd(servers, pick.choice(servers)), {'net'})),
            (3, lambda: (faults.members_apart(servers, pick.choice(servers)), {'net'})),
            (1, lambda: (faults.lossy(servers, pick.choice((0.05, 0.2, 0.5))), {'net'})),
            (3, lambda: (faults.MembersLost(pick.sample(servers, pick.randint(1, len(servers)))), {'members'}))]
        if len(servers) > 3:
            kinds.append((3, lambda: (faults.ring(servers), {'net'})))
        mixed = pick.sample(servers, len(servers))
        half = len(servers) // 2
        kinds.append((2, lambda: (faults.bridge(mixed[:half], mixed[half], mixed[half + 1:]), {'net'})))
        if group.clocks:
            kinds.append((2, lambda: (faults.ClockStep(sorted(group.clocks)[0], pick.choice((-86400, -5, 5, 86400))),
                                      {'clock'})))
        if self.scene.small_disk:
            kinds.append((2, lambda: (faults.DiskFull(self.scene.small_disk), {'disk'})))
        return kinds

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.heal_due()
            self.scene.restart_ended()
            if len(self.active) < FAULTS_AT_ONCE_MAX:
                self.inject()
            pause(self.random.uniform(0.5, 4))
        while self.active:
            self.heal_due(everything=True)

    def inject(self):
        kinds = self.kinds()
        make = self.random.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]
        fault, holds = make()
        seconds = self.random.choice((0.3, 1, 2, 3, 5, 8))
        if any(holds & other for _, _, other in self.active):
            return
        self.say(f'for {seconds} s:')
        self.scene.inject(fault)
        self.active.append((time.monotonic() + seconds, fault, holds))

    def heal_due(self, everything=False):
        now = time.monotonic()
        for item in [item for item in self.active if everything or item[0] <= now]:
            self.active.remove(item)
            self.scene.heal(item[1])
