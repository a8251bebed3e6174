#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian packages and the unit: what can be judged without installing (packaging/test-in-root installs).

    packaging_test.py SOURCE BUILD
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE, BUILD = (os.path.abspath(path) for path in sys.argv[1:3])
UNIT = os.path.join(SOURCE, "packaging/systemd/understudyd.service")
EXPOSURE_MAX = 3.0
WAIT_SECONDS_MAX = 20


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temp.cleanup)
        cls.built = [cls.build(folder) for folder in ("one", "two")]

    @classmethod
    def build(cls, folder):
        made = run(os.path.join(SOURCE, "packaging/build-deb"), BUILD, os.path.join(cls.temp.name, folder), "1.2.3",
                   env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
        assert made.returncode == 0, made.stderr
        return made.stdout.split()

    def package(self, name):
        return next(path for path in self.built[0] if os.path.basename(path).startswith(name + "_"))

    def field(self, name, field):
        return run("dpkg-deb", "-f", self.package(name), field).stdout.strip()

    def files(self, name):
        return run("dpkg-deb", "-c", self.package(name)).stdout

    def test_the_same_bytes_each_time(self):
        self.assertEqual(len(self.built[0]), 3)
        for one, two in zip(*self.built):
            with open(one, "rb") as first, open(two, "rb") as second:
                self.assertTrue(first.read() == second.read(), os.path.basename(one))

    def test_control_files_say_what_is_needed(self):
        for name in ("understudy", "understudy-client"):
            depends = self.field(name, "Depends")
            for library in ("libc6", "libgrpc++", "libsqlite3-0", "libstdc++6"):
                self.assertIn(library, depends, name)
            self.assertNotIn("${", depends)
            self.assertEqual(self.field(name, "Version"), "1.2.3")
        self.assertEqual(self.field("understudy-doc", "Architecture"), "all")
        self.assertIn("/lib/systemd/system/understudyd.service", self.files("understudy"))
        conffiles = run("dpkg-deb", "-I", self.package("understudy"), "conffiles").stdout
        self.assertEqual(conffiles.split(), ["/etc/understudy/understudyd.toml"])

    def test_scripts_are_shell_and_purge_deletes_no_database(self):
        for script in ("postinst", "prerm", "postrm"):
            path = os.path.join(SOURCE, "packaging/debian/understudy." + script)
            self.assertEqual(run("sh", "-n", path).returncode, 0, script)
            with open(path, encoding="utf-8") as file:
                self.assertNotIn("rm -", file.read())

    @unittest.skipUnless(shutil.which("lintian"), "lintian is not installed")
    def test_lintian_finds_no_error(self):
        found = run("lintian", "--no-cfg", "--fail-on", "error", *self.built[0])
        self.assertEqual(found.returncode, 0, found.stdout)

    def test_the_configuration_that_comes_with_it_is_right(self):
        checked = run(os.path.join(BUILD, "bin/understudyd"), "--config", os.path.join(SOURCE, "packaging/understudyd.toml"),
                      "--check")
        self.assertEqual(checked.returncode, 0, checked.stderr)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Unit(unittest.TestCase):
    def test_it_is_right(self):
        with tempfile.TemporaryDirectory() as folder:
            unit = os.path.join(folder, "understudyd.service")
            with open(UNIT, encoding="utf-8") as file, open(unit, "w", encoding="utf-8") as copy:
                copy.write(file.read().replace("/usr/bin/understudyd", os.path.join(BUILD, "bin/understudyd")))
            found = run("systemd-analyze", "verify", "--man=no", unit)
            self.assertNotIn("understudyd.service:", found.stdout + found.stderr)
            self.assertEqual(found.returncode, 0, found.stderr)

    def test_it_is_walled_in(self):
        found = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
        line = next(line for line in found.stdout.splitlines() if "Overall exposure level" in line)
        self.assertLess(float(line.split(":")[1].split()[0]), EXPOSURE_MAX)


class Watchdog(unittest.TestCase):
    def test_the_daemon_says_that_it_lives(self):
        with tempfile.TemporaryDirectory() as folder:
            config = os.path.join(folder, "understudyd.toml")
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"[server]\nname = 's1'\ndata_dir = '{folder}/data'\nlisten = '127.0.0.1:0'\n"
                           f"[coordinator]\npath = '{folder}/coordinator.db'\n")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
                notified.bind(os.path.join(folder, "notify"))
                notified.settimeout(WAIT_SECONDS_MAX)
                environment = {**os.environ, "NOTIFY_SOCKET": os.path.join(folder, "notify"),
                               "WATCHDOG_USEC": "400000"}
                with subprocess.Popen([os.path.join(BUILD, "bin/understudyd"), "--config", config],
                                      env=environment, stderr=subprocess.DEVNULL) as daemon:
                    try:
                        while notified.recv(4096) != b"READY=1":
                            pass
                        began = time.monotonic()
                        for _ in range(6):
                            self.assertEqual(notified.recv(4096), b"WATCHDOG=1")
                        # A second each without WATCHDOG_USEC; 200 ms with it.
                        self.assertLess(time.monotonic() - began, 4)
                        daemon.send_signal(signal.SIGSTOP)
                        notified.settimeout(1.0)
                        with self.assertRaises(TimeoutError):
                            while True:
                                notified.recv(4096)
                        daemon.send_signal(signal.SIGCONT)
                        daemon.terminate()
                        self.assertEqual(daemon.wait(WAIT_SECONDS_MAX), 0)
                    finally:
                        daemon.kill()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
