#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command as a person or a script meets it: exit codes, sentences, streams, and its reference document.

    cli_test.py UNDERSTUDY DOCS/REFERENCE/CLI.MD

Nothing here needs a running server; what needs one is in lab_test.py and tools/demo.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

UNDERSTUDY = os.path.abspath(sys.argv[1])
REFERENCE = os.path.abspath(sys.argv[2])
DOCS = os.path.dirname(os.path.dirname(os.path.abspath(REFERENCE)))
DONE, FAILED, USAGE, NOT_REACHABLE = 0, 1, 2, 3


def run(*arguments, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("UNDERSTUDY_")}
    environment.update(variables)
    return subprocess.run([UNDERSTUDY, *arguments], capture_output=True, text=True, timeout=30,
                          env=environment, stdin=subprocess.DEVNULL, check=False)


def silent_port():
    """A listener that accepts and never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


class Usage(unittest.TestCase):
    def assert_usage(self, *arguments, says):
        result = run(*arguments)
        self.assertEqual(result.returncode, USAGE, result)
        self.assertEqual(result.stdout, "")
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 2, "one sentence and a hint: " + result.stderr)
        self.assertTrue(lines[0].startswith("understudy: "), result.stderr)
        self.assertIn(says, lines[0])
        self.assertTrue(lines[1].startswith("hint: "), result.stderr)

    def test_unknown_command(self):
        self.assert_usage("frobnicate", says="'frobnicate' is not a command")

    def test_unknown_command_of_a_group(self):
        self.assert_usage("db", "frobnicate", says="'frobnicate' is not a command of 'understudy db'")

    def test_no_command(self):
        self.assert_usage(says="needs a command")

    def test_unknown_option(self):
        self.assert_usage("status", "--frob", says="--frob")

    def test_missing_argument(self):
        self.assert_usage("db", "add", "mail", says="PATH")

    def test_name_with_a_slash(self):
        self.assert_usage("db", "add", "a/b", "/tmp/x.db", says="a/b")

    def test_server_name_with_a_slash(self):
        self.assert_usage("copy", "add", "mail", "s/2", says="s/2")

    def test_bad_duration(self):
        self.assert_usage("wait", "mail", "--timeout", "soon", says="'soon' is not a duration")

    def test_bad_format(self):
        self.assert_usage("status", "-o", "xml", says="'xml' is not one of table, json, yaml")

    def test_json_error_is_an_object_on_standard_error(self):
        result = run("frobnicate", "-o", "json")
        self.assertEqual(result.returncode, USAGE)
        self.assertEqual(result.stdout, "")
        self.assertEqual(set(json.loads(result.stderr)["error"]), {"code", "message", "hint"})


class NotReachable(unittest.TestCase):
    COMMANDS = [["status"], ["server", "list"], ["db", "list"], ["db", "add", "mail", "/tmp/x.db"],
                ["db", "remove", "mail"], ["copy", "suspend", "mail", "s2"], ["wait", "mail"],
                ["backup", "run", "mail"], ["backup", "list"], ["backup", "show", "mail"],
                ["backup", "verify", "mail"], ["events"], ["events", "--follow"]]

    def test_every_command_says_so(self):
        for command in self.COMMANDS:
            with self.subTest(command=command):
                result = run(*command, UNDERSTUDY_SERVER="127.0.0.1:1")
                self.assertEqual(result.returncode, NOT_REACHABLE, result)
                self.assertEqual(result.stdout, "")
                self.assertIn("127.0.0.1:1", result.stderr.splitlines()[0])
                self.assertIn("hint: is understudyd running there?", result.stderr)

    def test_server_that_never_answers(self):
        listener, port = silent_port()
        with listener:
            result = run("--server", f"127.0.0.1:{port}", "--timeout", "300ms", "status", "-o", "json")
        self.assertEqual(result.returncode, NOT_REACHABLE, result)
        self.assertIn(json.loads(result.stderr)["error"]["code"], ("timed out", "unavailable"))

    def test_option_beats_environment(self):
        result = run("--server", "127.0.0.1:2", "status", UNDERSTUDY_SERVER="127.0.0.1:1")
        self.assertIn("127.0.0.1:2", result.stderr)

    def test_name_outside_a_lab_is_no_address(self):
        result = run("--server", "s2", "status")
        self.assertEqual(result.returncode, FAILED)
        self.assertIn("'s2' is not an address", result.stderr)


class Offline(unittest.TestCase):
    def test_version(self):
        self.assertRegex(run("version").stdout, r"^understudy \d+\.\d+\.\d+ ")
        self.assertRegex(json.loads(run("version", "-o", "json").stdout)["version"], r"^\d+\.\d+\.\d+$")

    def test_restore_from_a_directory_that_is_no_repository(self):
        with tempfile.TemporaryDirectory() as directory:
            output = os.path.join(directory, "out.db")
            result = run("restore", "--repo", directory, "--db", "mail", "--output", output)
            self.assertEqual(result.returncode, FAILED)
            self.assertIn(directory, result.stderr)
            self.assertEqual(os.listdir(directory), [])

    def test_dump_of_what_is_not_there(self):
        result = run("log", "dump", "/nowhere/at/all")
        self.assertEqual(result.returncode, FAILED)
        self.assertIn("/nowhere/at/all", result.stderr)

    def test_lab_that_is_not_there(self):
        with tempfile.TemporaryDirectory() as directory:
            for command in ("status", "env", "down"):
                result = run("lab", command, "--dir", directory)
                self.assertEqual(result.returncode, FAILED, result)
                self.assertIn("there is no lab in", result.stderr)
            self.assertEqual(os.listdir(directory), [])

    def test_output_to_a_pipe_has_no_colour_and_no_control_characters(self):
        result = run("--help")
        self.assertEqual(result.returncode, DONE)
        self.assertNotIn("\x1b", result.stdout)


class Reference(unittest.TestCase):
    def test_document_is_what_the_command_prints(self):
        with open(REFERENCE, encoding="utf-8") as file:
            document = file.read().split("## Commands\n\n", 1)[1]
        self.assertEqual(document, run("reference").stdout,
                         "write the output of 'understudy reference' below '## Commands'")

    def test_catalogue_of_events_is_what_the_command_prints(self):
        with open(os.path.join(DOCS, "events.md"), encoding="utf-8") as file:
            document = file.read().split("## Catalogue\n\n", 1)[1]
        self.assertEqual(document, run("reference", "--events").stdout,
                         "write the output of 'understudy reference --events' below '## Catalogue'")

    def test_catalogue_of_metrics_is_what_the_command_prints(self):
        with open(os.path.join(DOCS, "metrics.md"), encoding="utf-8") as file:
            document = file.read().split("## Catalogue\n\n", 1)[1]
        self.assertEqual(document, run("reference", "--metrics").stdout,
                         "write the output of 'understudy reference --metrics' below '## Catalogue'")

    def test_alerts_and_dashboard_name_metrics_that_exist(self):
        known = set(re.findall(r"`(understudy_\w+)`", run("reference", "--metrics").stdout))
        packaging = os.path.join(DOCS, "..", "packaging")
        for path in ("prometheus/alerts.yml", "prometheus/alerts_test.yml", "grafana/understudy.json"):
            with open(os.path.join(packaging, path), encoding="utf-8") as file:
                named = set(re.findall(r"\bunderstudy_\w+", file.read()))
            self.assertGreater(len(named), 3, path)
            self.assertEqual(named - known, set(), path)
        with open(os.path.join(packaging, "grafana", "understudy.json"), encoding="utf-8") as file:
            panels = json.load(file)["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))

    @unittest.skipUnless(shutil.which("promtool"), "Debian's package prometheus is not installed")
    def test_promtool_is_content(self):
        rules = os.path.join(DOCS, "..", "packaging", "prometheus")
        for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
            said = subprocess.run(["promtool", *command], cwd=rules, capture_output=True, text=True, timeout=60)
            self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_every_event_is_in_the_catalogue(self):
        with open(os.path.join(DOCS, "..", "src", "cluster", "records.h"), encoding="utf-8") as file:
            numbers = file.read().split("enum class EventNumber", 1)[1].split("};", 1)[0]
        declared = sorted(int(number) for number in re.findall(r"^  k\w+ = (\d+),", numbers, re.MULTILINE))
        self.assertGreater(len(declared), 50)
        listed = json.loads(run("events", "--explain", "-o", "json").stdout)["events"]
        self.assertEqual([event["number"] for event in listed], declared)
        for event in listed:
            self.assertTrue(event["name"] and event["meaning"] and event["cause"], event)

    def test_events_are_explained_without_a_server(self):
        lost = run("events", "--id", "2153", "--explain")
        self.assertEqual(lost.returncode, 0)
        self.assertIn("2153  connection lost\n", lost.stdout)
        self.assertIn("\n  remedy   ", lost.stdout)
        unknown = run("events", "--id", "4711", "--explain")
        self.assertEqual(unknown.returncode, 1)
        self.assertIn("there is no event 4711", unknown.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
