#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The coordinator is away for longer than a lease: failsafe mode, and moves to preferred copies.

    failsafe_test.py UNDERSTUDY [TEST…]
"""

import http.client
import json
import sys
import time
import unittest

import failover_test as base

LEASE = base.LEASE_SECONDS


class Failsafe(base.CoordinatorAway):
    # Those of the base class run without failsafe mode, in failover_test.py.
    test_a_short_outage_changes_nothing = None
    test_a_long_one_fences_before_the_lease_has_ended = None

    def knows(self, web):
        connection = http.client.HTTPConnection(*web.split(":"), timeout=10)
        try:
            connection.request("GET", "/cluster")
            return json.loads(connection.getresponse().read()).get("failsafe", False)
        finally:
            connection.close()

    def setUp(self):
        super().setUp()
        self.lab.ok("activation", "failsafe", "on")
        servers = self.lab.ask("lab", "status")["servers"]
        base.wait_until(lambda: all(self.knows(row["web"]) for row in servers), "every server knows the mode")

    def start_writer(self):
        writer = base.Writer([self.path])
        writer.start()
        base.wait_until(lambda: len(writer.acknowledged) > 50, "the writer writes")
        return writer

    def test_goes_on_while_everybody_confirms(self):
        writer = self.start_writer()
        held = self.hold_up()
        end = time.monotonic() + 3 * LEASE
        base.wait_until(lambda: time.monotonic() > end, "three leases are over")
        before = len(writer.acknowledged)
        base.wait_until(lambda: len(writer.acknowledged) > before + 50, "the writer goes on", LEASE)
        held.execute("ROLLBACK")
        base.wait_until(lambda: self.lab.events(None, 2007), "it is over")
        acknowledged = writer.finish()
        self.assertTrue(self.lab.events(None, 2006))
        self.assertEqual((self.active(), self.lab.status("orders")["term"]), ("s1", 1))
        self.assert_equal_copies()
        self.assertEqual(base.rows(self.path), acknowledged)
        print(f"the coordinator was away for {3 * LEASE} s, longest pause of the writer: "
              f"{max([0, *writer.gaps]) * 1000:.0f} ms")

    def test_one_that_does_not_confirm_is_enough(self):
        writer = self.start_writer()
        held = self.hold_up()
        end = time.monotonic() + 2 * LEASE
        base.wait_until(lambda: time.monotonic() > end, "two leases are over")
        self.assertFalse(self.refused(), "it has gone on until now")
        self.lab.ok("lab", "cut", "s1", "s3")
        base.wait_until(self.refused, "the active copy refuses writes", LEASE + 1)
        acknowledged = writer.finish()
        self.lab.ok("lab", "heal", "s1", "s3")
        held.execute("ROLLBACK")
        base.wait_until(lambda: self.lab.events(None, 2008), "the event says who did not confirm")
        self.assertIn("s3", self.lab.events(None, 2008)[0]["message"])
        self.wait_mounted_elsewhere("nobody", "s2")
        self.assert_equal_copies("s2")
        self.assertEqual(base.rows(self.path), acknowledged)


class Rebalance(base.FailoverCase):
    def test_by_a_person_and_by_itself(self):
        self.assertEqual(self.lab.ask("activation", "rebalance")["moves"], [])
        self.lab.ok("activation", "copy", "orders", "s1", "--preference", "1")
        self.lab.ok("activation", "copy", "orders", "s2", "--preference", "2")
        self.lab.ok("switchover", "orders", "--to", "s3")
        self.lab.wait_healthy("orders")
        moves = self.lab.ask("activation", "rebalance", "--dry-run")["moves"]
        self.assertEqual([(m["from"], m["to"], m["moved"]) for m in moves], [("s3", "s1", "no")])
        self.assertEqual(self.active(), "s3")
        moves = self.lab.ask("activation", "rebalance", "orders", server="s2")["moves"]
        self.assertEqual([(m["from"], m["to"], m["moved"]) for m in moves], [("s3", "s1", "yes")])
        self.assertEqual(self.active(), "s1")

        # A failover; once the preferred server is back, the group moves the database to it by itself.
        self.lab.ok("activation", "rebalance", "--every", "10s")
        self.assertEqual(self.lab.ask("activation", "status")["rebalance_every_s"], 10)
        self.lab.wait_healthy("orders")  # else none of them is known to have everything
        self.lab.ok("lab", "kill", "s1")
        self.wait_mounted_elsewhere("s1", "s2")
        self.assertEqual(self.active("s2"), "s2")
        self.lab.ok("lab", "start", "s1")
        base.wait_until(lambda: self.active("s2") == "s1", "it is moved back")
        self.assert_equal_copies()
        self.assertIn(self.lab.run("activation", "rebalance", "--every", "3s").returncode, (1, 2))
        self.lab.ok("activation", "rebalance", "--every", "never")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
