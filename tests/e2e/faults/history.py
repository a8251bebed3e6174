# SPDX-License-Identifier: Apache-2.0
"""The terms of each database, as the registry in etcd has them: which server took which, in order.

Asked of etcd itself, over its JSON gateway, from the network's switch: events may be lost with a daemon that is killed,
the history may not. The registry keeps 64 terms, so it is read all the time and put together here.
"""

import base64
import json
import threading
import urllib.request


class History(threading.Thread):
    def __init__(self, group, databases):
        super().__init__(daemon=True, name='history')
        self.group, self.terms = group, {name: {} for name in databases}  # name -> {term: server}
        self.stopped = threading.Event()

    def run(self):
        self.group.enter_network()
        while True:
            self.read()
            if self.stopped.wait(0.5):
                self.read()
                return

    def read(self):
        for name in self.terms:
            for server in self.group.servers:
                if self.read_from(server, name):
                    break

    def read_from(self, server, database):
        key = base64.b64encode(f'/understudy/default/databases/{database}'.encode()).decode()
        request = urllib.request.Request(f'http://{self.group.etcd_address(server)}/v3/kv/range',
                                         json.dumps({'key': key}).encode(), {'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request, timeout=1) as answer:
                pairs = json.load(answer).get('kvs', [])
        except (OSError, ValueError):
            return False
        for pair in pairs:
            for start in json.loads(base64.b64decode(pair['value']))['history']:
                self.terms[database][start['term']] = start['server']
        return True

    def servers(self, database):
        """In order of the terms."""
        return [server for _, server in sorted(self.terms[database].items())]

    def stop(self):
        self.stopped.set()
        self.join(30)
