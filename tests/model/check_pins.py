#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks pins.pml with spin: as it is it must hold, and with any one rule removed it must fail.

usage: check_pins.py MODEL WORK_DIRECTORY. Exit code 0 good, 1 bad, 77 skipped (no spin here).
"""
import os
import shutil
import subprocess
import sys

MODEL = os.path.abspath(sys.argv[1])
WORK = sys.argv[2]
RULES = ["NO_CAPTURED_CHECK", "NO_SECOND_LOOK", "NO_NEXT_PIN", "K_BEFORE_S", "Z_BEFORE_S",
         "Z_AT_ONCE", "NO_CAPTURE"]
LIMIT_SECONDS = 50


def errors(name, defines):
    """Runs one search to its end; the number of errors that it found."""
    directory = os.path.join(WORK, name)
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["spin", "-a"] + defines + [MODEL], cwd=directory, check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cc", "-O2", "-w", "-DSAFETY", "-DNOFAIR", "-DVECTORSZ=256", "-o", "pan",
                    "pan.c"], cwd=directory, check=True)
    out = subprocess.run(["./pan", "-m2000000", "-w22"], cwd=directory, check=True,
                         stdout=subprocess.PIPE, timeout=LIMIT_SECONDS, text=True).stdout
    if "max search depth too small" in out or "Search not completed" in out and "errors: 0" in out:
        sys.exit(name + ": the search was cut short\n" + out)
    states = [line.strip() for line in out.splitlines() if "states, stored" in line]
    found = int(out.split("errors:")[1].split()[0])
    claim = next((line for line in out.splitlines() if line.startswith("pan:1:")), "")
    print(f"{name}: {found} errors, {states[0] if states else '?'} {claim}")
    return found


if shutil.which("spin") is None:
    print("skipped: spin is not installed (apt-get install spin)")
    sys.exit(77)
good = errors("ALL_RULES", []) == 0
for rule in RULES:
    if errors(rule, ["-D" + rule]) == 0:
        print(f"without the rule {rule} takes away, the model still holds: it proves nothing")
        good = False
sys.exit(0 if good else 1)
