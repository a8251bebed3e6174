# SPDX-License-Identifier: Apache-2.0
"""Real faults on real processes: what faults_test.py is made of.

    network.py   one network namespace per server, joined by a bridge; cuts, one-way cuts, loss
    group.py     understudyd and etcd processes: in namespaces (root), or through 'understudy lab'
    faults.py    one object per fault: inject, heal
    scene.py     a group, its databases and applications, and the faults that are under way
    nemesis.py   random faults from a seed
    workload.py  applications with stock SQLite, and the journal of what was acknowledged to them
    history.py   the terms of each database, as the group's registry has them
    checker.py   what is a violation, and whether there is one
    clock_step.c a wall clock for one process that can be set
"""
