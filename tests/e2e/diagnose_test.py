#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`understudy diagnose network`: what a device on the way does to connections is found, named and measured.

    diagnose_test.py UNDERSTUDY [TEST…]

Two servers; every frame between them passes a device (faults/device.py). Needs root. Exit code 77: skipped.
"""

import json
import os
import shutil
import sys
import tempfile
import unittest

from faults import network
from faults.group import NamespaceGroup

SKIPPED = 77
UNDERSTUDY = ''
SECONDS = 120


class Diagnose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if network.why_not():
            raise unittest.SkipTest(network.why_not())
        cls.directory = tempfile.mkdtemp(prefix='understudy-diagnose-')
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.network = network.Network(('s1', 's2'), remote='s2')
        cls.device = cls.network.device
        cls.group = NamespaceGroup(cls.directory, UNDERSTUDY, cls.network, 2, lease=6)
        cls.addClassCleanup(cls.group.close)
        cls.group.start_all()

    def setUp(self):
        self.addCleanup(self.heal)

    def heal(self):
        device = self.device
        device.delay, device.cut, device.idle_max, device.scan_bytes, device.frame_max = 0, False, 0, 0, 0

    def diagnose(self, *options, asked='s1', problems=0):
        result = self.group.run(asked, 'diagnose', 'network', *options, '-o', 'json', seconds=SECONDS)
        paths = json.loads(result.stdout)['paths']
        found = [finding for path in paths for finding in path['findings'] if finding['problem']]
        self.assertEqual(len(found), problems, paths)
        self.assertEqual(result.returncode, 1 if problems else 0, result.stderr)
        self.assertEqual(len(paths), 1)
        return paths[0], [finding['what'] for finding in found]

    def test_healthy_path_has_no_problem(self):
        path, _ = self.diagnose('--idle', '4s')
        self.assertEqual((path['from'], path['to'], path['lost'], path['aborted']), ('s1', 's2', 0, 0))
        self.assertGreater(path['up'], 1 << 20)
        self.assertGreater(path['down'], 1 << 20)
        self.assertEqual(path['mtu'], 1500)
        self.assertLess(abs(path['clock_ms']), 200)
        self.assertEqual((path['idle_survived_ms'], path['idle_died_ms']), (4000, None))
        self.assertGreater(path['segments'], 0)

    def test_the_other_server_measures_when_asked_to(self):
        path, _ = self.diagnose('s2', 's1', '--quick')
        self.assertEqual((path['from'], path['to'], path['idle_survived_ms']), ('s2', 's1', 0))
        refused = self.group.run('s1', 'diagnose', 'network', 's1', 's1', '--quick')
        self.assertEqual(refused.returncode, 1)
        self.assertIn('no path from s1 to itself', refused.stderr)

    def test_delay_is_measured(self):
        self.device.delay = 0.25
        path, found = self.diagnose('--quick', problems=1)
        self.assertGreater(path['rtt_min_ms'], 500)
        self.assertLess(path['rtt_ms'], 700)
        self.assertIn('coordinator.lease to', path['findings'][0]['remedy'])
        self.assertIn('a round trip takes 5', found[0])

    def test_idle_limit_is_found(self):
        self.device.idle_max = 3
        path, _ = self.diagnose('--idle', '5s')
        self.assertGreater(path['idle_died_ms'], 2900)
        self.assertLess(path['idle_died_ms'], 3600)
        self.assertGreater(path['idle_survived_ms'], 2400)
        self.assertIn('idle connections', path['findings'][0]['what'])
        self.device.idle_max = 0.4  # less than the heartbeat of servers, 0.5 s here
        path, found = self.diagnose('--idle', '2s', problems=1)
        self.assertLess(path['idle_died_ms'], 1000)
        self.assertIn('idle connections', found[0])

    def test_large_frames_that_are_dropped(self):
        self.device.frame_max = 1200
        path, found = self.diagnose('--quick', problems=1)
        self.assertTrue(path['large_lost'])
        self.assertIn('large messages do not arrive', found[0])

    def test_aborted_connections(self):
        self.device.scan_bytes, self.device.scan_seconds = 3 << 20, 0
        path, found = self.diagnose('--quick', problems=1)
        self.assertGreater(path['aborted'], 0)
        self.assertIn('aborted in mid-stream', found[0])

    def test_a_server_that_is_not_reached(self):
        self.device.cut = True
        _, found = self.diagnose('--quick', problems=1)
        self.assertIn('s2', found[0])


if __name__ == '__main__':
    UNDERSTUDY = os.path.abspath(sys.argv[1])
    program = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2, exit=False)
    if program.result.skipped and program.result.testsRun == 0:
        print(program.result.skipped[0][1])
        sys.exit(SKIPPED)
    sys.exit(not program.result.wasSuccessful())
