# SPDX-License-Identifier: Apache-2.0
"""A device on the way to a remote site: what firewalls, scanners and long lines do to connections.

It stands between two interfaces of one namespace and carries frames from each to the other, as a bridge would, in this
program: so it needs nothing of the kernel but packet sockets. What it does to them are its attributes, which any thread may
set at any time. A flow is both directions of a TCP connection.
"""

import dataclasses
import heapq
import itertools
import selectors
import socket
import struct
import threading
import time

ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
SOL_PACKET, PACKET_IGNORE_OUTGOING, PACKET_VNET_HDR = 263, 23, 15
SO_RCVBUFFORCE = 33
VNET_BYTES = 10         # struct virtio_net_hdr: frames keep their offloads
FRAME_BYTES_MAX = 70_000
QUEUED_MAX = 20_000     # frames; more are dropped, as a device does
BUFFER_BYTES = 8 << 20
SYN, RST = 0x02, 0x04


@dataclasses.dataclass
class Segment:
    """A TCP segment of IPv4, as far as it counts here."""
    source: tuple
    target: tuple
    sequence: int
    acknowledged: int
    flags: int
    payload: int

    @property
    def flow(self):
        return min(self.source, self.target), max(self.source, self.target)


@dataclasses.dataclass
class Flow:
    last: float
    forgotten: bool = False
    scanned: int = 0          # bytes since the scanner last held it
    held_until: float = 0.0
    ends: dict = dataclasses.field(default_factory=dict)  # side -> the last Segment from there, and its Ethernet header


def parse(frame):
    """None: no TCP over IPv4."""
    if len(frame) < 54 or struct.unpack_from('!H', frame, 12)[0] != ETH_P_IP or frame[23] != socket.IPPROTO_TCP:
        return None
    length = struct.unpack_from('!H', frame, 16)[0]
    at = 14 + (frame[14] & 15) * 4
    if at + 20 > len(frame):
        return None
    source, target, sequence, acknowledged, offset, flags = struct.unpack_from('!HHIIBB', frame, at)
    payload = length - (at - 14) - (offset >> 4) * 4
    return Segment((frame[26:30], source), (frame[30:34], target), sequence, acknowledged, flags, max(payload, 0))


def wire_bytes(data):
    """How long the frame, or each that it stands for, would be on a cable."""
    _, kind, header, part = struct.unpack_from('<BBHH', data)
    return header + part if kind else len(data) - VNET_BYTES


def checksum(data):
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def reset_after(segment, ethernet):
    """The frame that ends a connection, as if who sent `segment` had: its receiver takes it."""
    sequence = (segment.sequence + segment.payload + (1 if segment.flags & SYN else 0)) & 0xffffffff
    addresses = segment.source[0] + segment.target[0]
    tcp = struct.pack('!HHIIBBHHH', segment.source[1], segment.target[1], sequence, 0, 5 << 4, RST, 0, 0, 0)
    total = checksum(addresses + struct.pack('!BBH', 0, socket.IPPROTO_TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack('!H', total) + tcp[18:]
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0) + addresses
    ip = ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:]
    return bytes(VNET_BYTES) + ethernet + ip + tcp


class Device(threading.Thread):
    def __init__(self, enter, interfaces):
        """`enter` brings the calling thread into the namespace of both `interfaces`."""
        super().__init__(daemon=True, name='device')
        self.delay = 0.0        # seconds, each way
        self.cut = False        # nothing passes, and nobody is told
        self.idle_max = 0.0     # seconds after which a flow is forgotten and its segments are dropped; 0: never
        self.scan_bytes = 0     # a scanner: after so many bytes a flow is held ...
        self.scan_seconds = 0.0  # ... for so long; 0: it is aborted instead
        self.frame_max = 0      # longer frames are dropped silently (a path MTU that nobody hears of); 0: none
        self.forgotten = self.aborted = self.dropped = self.carried = 0
        self._enter, self._interfaces = enter, interfaces
        self._flows, self._queue, self._order = {}, [], itertools.count()
        self._ended, self._abort = threading.Event(), threading.Event()
        self._ready, self._error = threading.Event(), None
        self.start()
        self._ready.wait(30)
        if self._error is not None:
            raise self._error

    def abort_all(self):
        """Ends every connection that passes here, with a RST to both ends."""
        self._abort.set()

    def close(self):
        self._ended.set()
        self.join(30)

    def run(self):
        try:
            self._enter()
            self._sockets = [self._open(interface) for interface in self._interfaces]
        except Exception as error:  # told to who made it
            self._error = error
            return
        finally:
            self._ready.set()
        with selectors.DefaultSelector() as selector:
            for side, interface in enumerate(self._sockets):
                selector.register(interface, selectors.EVENT_READ, side)
            while not self._ended.is_set():
                self._turn(selector)
        for interface in self._sockets:
            interface.close()

    @staticmethod
    def _open(interface):
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        packets.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        packets.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        packets.bind((interface, 0))
        packets.setblocking(False)
        return packets

    def _turn(self, selector):
        now = time.monotonic()
        wait = 0.02 if not self._queue else min(max(self._queue[0][0] - now, 0), 0.02)
        for key, _ in selector.select(wait):
            for _ in range(64):
                try:
                    self._take(key.data, key.fileobj.recv(FRAME_BYTES_MAX))
                except BlockingIOError:
                    break
                except OSError:
                    return  # the interface went away: the test is over
        if self._abort.is_set():
            self._abort.clear()
            for flow in list(self._flows):
                self._reset(flow)
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, _, side, frame = heapq.heappop(self._queue)
            self._send(side, frame)

    def _take(self, side, data):
        """A frame that came from `side`."""
        now = time.monotonic()
        segment = parse(data[VNET_BYTES:])
        if self.cut or (self.frame_max and wire_bytes(data) > self.frame_max):
            self.dropped += 1
            return
        due = now + self.delay
        if segment is not None:
            due = self._follow(side, segment, data, now)
        if due is None or len(self._queue) >= QUEUED_MAX:
            self.dropped += 1
            return
        heapq.heappush(self._queue, (due, next(self._order), 1 - side, data))

    def _follow(self, side, segment, data, now):
        """When it is to be sent; None: never."""
        flow = self._flows.get(segment.flow)
        if flow is None or (segment.flags & SYN and flow.forgotten):
            flow = self._flows[segment.flow] = Flow(now)
        if self.idle_max and now - flow.last > self.idle_max and not flow.forgotten:
            flow.forgotten = True
            self.forgotten += 1
        flow.last = now
        if flow.forgotten:
            return None
        flow.ends[side] = segment, data[VNET_BYTES:VNET_BYTES + 14]
        flow.scanned += segment.payload
        if self.scan_bytes and flow.scanned >= self.scan_bytes:
            flow.scanned = 0
            if not self.scan_seconds:
                self._reset(segment.flow)
                return None
            flow.held_until = now + self.scan_seconds
        if segment.flags & RST:
            self._flows.pop(segment.flow, None)
        return max(now, flow.held_until) + self.delay

    def _reset(self, key):
        flow = self._flows.pop(key)
        if flow.forgotten or not flow.ends:
            return
        self.aborted += 1
        for side, (segment, ethernet) in flow.ends.items():  # behind what is on its way
            due = max(time.monotonic(), flow.held_until) + self.delay
            heapq.heappush(self._queue, (due, next(self._order), 1 - side, reset_after(segment, ethernet)))

    def _send(self, side, data):
        try:
            self._sockets[side].send(data)
            self.carried += 1
        except OSError:
            self.dropped += 1
