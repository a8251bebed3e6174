#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Histories that must be accepted, and one of each kind that must not be."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from faults.anomalies import REFUSED, UNKNOWN, Add, Read, find_anomalies  # noqa: E402


def legal():
    """s1, then s2; one unknown row is there, another is not, one was refused."""
    adds = {('s1', 1): Add('s1', 1, 2), ('s1', 2): Add('s1', 3, 4, UNKNOWN), ('s1', 3): Add('s1', 5, 6, UNKNOWN),
            ('s2', 1): Add('s2', 7, 8, REFUSED), ('s2', 2): Add('s2', 9, 10)}
    reads = [Read('s1', 1, 2.5, 2.5, True, {'s1': 1}), Read('s1', 1, 4.5, 4.5, False, {'s1': 2}),
             Read('s3', 1, 5, 5, False, {'s1': 1}), Read('s2', 1, 11, 11, True, {'s1': 2, 's2': 2})]
    return adds, reads, [('s1', 1), ('s1', 2), ('s2', 2)]


class Anomalies(unittest.TestCase):
    def kinds(self, adds, reads, last, kept=frozenset(), **bound):
        return [anomaly.kind for anomaly in find_anomalies(adds, reads, last, kept, **bound)]

    def test_a_legal_history_is_accepted(self):
        self.assertEqual(self.kinds(*legal()), [])
        self.assertEqual(self.kinds(*legal(), lossless=False, after=1), [])
        self.assertEqual(self.kinds({}, [], []), [])

    def test_a_row_that_is_nowhere_is_lost_with_any_dial(self):
        adds, _, last = legal()
        self.assertEqual(self.kinds(adds, [], last[:2]), ['lost'])
        self.assertEqual(self.kinds(adds, [], last[:2], lossless=False, after=99), ['lost'])

    def test_a_kept_row_is_within_the_dial_or_not(self):
        adds, _, last = legal()
        kept = {('s1', 1)}
        self.assertEqual(self.kinds(adds, [], last[1:], kept), ['beyond the dial'])
        self.assertEqual(self.kinds(adds, [], last[1:], kept, lossless=False, after=7), [])
        self.assertEqual(self.kinds(adds, [], last[1:], kept, lossless=False, after=6), ['beyond the dial'])

    def test_a_row_that_is_there_twice(self):
        adds, reads, last = legal()
        self.assertEqual(self.kinds(adds, reads, last + last[:1]), ['duplicated'])

    def test_a_row_that_nobody_wrote_or_not_yet(self):
        adds, reads, last = legal()
        self.assertEqual(self.kinds(adds, reads, [*last, ('s9', 1)]), ['invented'])
        self.assertEqual(self.kinds(adds, [*reads, Read('s3', 2, 8, 8, False, {'s2': 2})], last), ['invented'])

    def test_a_row_that_was_refused(self):
        adds, reads, last = legal()
        self.assertEqual(self.kinds(adds, reads, [*last, ('s2', 1)]), ['undead'])
        self.assertEqual(self.kinds(adds, [*reads, Read('s3', 2, 9, 9, False, {'s2': 1})], last), ['undead'])

    def test_a_fresh_read_that_is_stale(self):
        adds, reads, last = legal()
        adds['s2', 3] = Add('s2', 12, 13)
        last.append(('s2', 3))
        self.assertEqual(self.kinds(adds, [*reads, Read('s1', 2, 14, 14, True, {'s2': 2})], last), ['stale'])
        self.assertEqual(self.kinds(adds, [*reads, Read('s1', 2, 13, 14, True, {'s2': 2})], last), [])  # at the same moment
        self.assertEqual(self.kinds(adds, [*reads, Read('s3', 2, 14, 14, False, {'s2': 2})], last), [])  # a passive copy
        self.assertEqual(self.kinds(adds, [*reads, Read('s1', 2, 14, 14, True, {'s2': 2})], last[:-1], {('s2', 3)},
                                    lossless=False, after=9), [])  # the dial allowed to lose it

    def test_a_client_that_sees_less_than_before(self):
        adds, reads, last = legal()
        self.assertEqual(self.kinds(adds, [*reads, Read('s1', 1, 6, 6, False, {'s1': 1})], last), ['not monotonic'])
        self.assertEqual(self.kinds(adds, [*reads, Read('s1', 2, 6, 6, False, {'s1': 1})], last), [])  # its machine was off
        self.assertEqual(self.kinds(adds, [*reads[:3], Read('s1', 1, 6, 6, False, {'s1': 1})], [last[0], last[2]], {('s1', 2)},
                                    lossless=False), [])


if __name__ == '__main__':
    unittest.main()
