# SPDX-License-Identifier: Apache-2.0
"""Packages that tests bring from npm, once, into a folder of the build. Without npm a test is skipped (exit code 77)."""

import os
import shutil
import subprocess
import sys

SKIPPED = 77
INSTALL_SECONDS_MAX = 120


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def installed(cache, package, version, file="", options=()):
    """The path of `file` in the package, which is installed into `cache` if it is not there."""
    path = os.path.join(cache, "node_modules", package, *([file] if file else []))
    if os.path.exists(path):
        return path
    if not shutil.which("npm"):
        skip("npm is not installed")
    os.makedirs(cache, exist_ok=True)
    try:
        done = subprocess.run(
            ["npm", "install", "--prefix", cache, "--no-audit", "--no-fund", *options, f"{package}@{version}"],
            capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        skip(f"npm did not bring {package} within {INSTALL_SECONDS_MAX} s")
    if done.returncode != 0 or not os.path.exists(path):
        skip(f"npm cannot bring {package}@{version}: {done.stderr.strip().splitlines()[-1:]}")
    return path
