#!/usr/bin/env python3
# The network of the drills: a namespace for each host, a TUN device in each, and one relay that carries packets between them with delays and cuts.
#
# A namespace is held by a process that sleeps in it; whatever else is to run there is started with `enter`. The relay is a process of its
# own, so that nothing that the drills do holds packets back; it takes orders over a pipe and can write down the datagrams that it carries.

import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
TAPED_MOST = 20_000


class Cannot(Exception):
    """The drills cannot run here; the text says why."""


@dataclass
class Host:
    name: str
    region: str
    ip: str
    holder: subprocess.Popen
    tun: int = -1


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def new_namespace():
    if LIBC.unshare(CLONE_NEWNET) != 0:
        os._exit(70)
    die_with_parent()


def go_to(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        if LIBC.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


def enter(host):
    """For Popen's preexec_fn: the process runs on this host and ends with us."""

    def act():
        go_to(f"/proc/{host.holder.pid}/ns/net")
        die_with_parent()

    return act


@contextlib.contextmanager
def inside(host):
    """Sockets that this thread makes meanwhile are on this host."""
    go_to(f"/proc/{host.holder.pid}/ns/net")
    try:
        yield
    finally:
        go_to("/proc/self/ns/net")


def open_tun(host):
    with inside(host):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22s", b"link0", IFF_TUN | IFF_NO_PI, b""))
    for command in (f"addr add {host.ip}/24 dev link0", "link set link0 txqueuelen 10000 up", "link set lo up"):
        subprocess.run(["ip", *command.split()], check=True, preexec_fn=enter(host))
    return fd


def make_host(name, region, ip):
    holder = subprocess.Popen(["sleep", "infinity"], preexec_fn=new_namespace)
    host = Host(name, region, ip, holder)
    # The namespace is there when the program is.
    for _ in range(200):
        if os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"):
            break
        if holder.poll() is not None:
            raise Cannot("network namespaces are refused: run it as root, or allow user namespaces")
        time.sleep(0.01)
    try:
        host.tun = open_tun(host)
    except (OSError, subprocess.CalledProcessError) as why:
        holder.kill()
        raise Cannot(f"no TUN device can be made ({why}): /dev/net/tun and CONFIG_TUN are needed") from why
    return host


class Relay:
    """Carries packets between hosts; `round_trip_ms(a, b)` says how long that takes."""

    def __init__(self, hosts, round_trip_ms):
        ours, theirs = socket.socketpair()
        delays = {
            (socket.inet_aton(a.ip), socket.inet_aton(b.ip)): round_trip_ms(a, b) / 2_000 for a in hosts for b in hosts if a is not b
        }
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            die_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                carry({socket.inet_aton(host.ip): host.tun for host in hosts}, delays, theirs)
            finally:
                os._exit(0)
        theirs.close()
        self.control = ours

    def order(self, **words):
        self.control.sendall(json.dumps(words).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self.control.recv(65_536)
            if not piece:
                raise Cannot("the relay ended")
            answer += piece
        return json.loads(answer)

    def cut(self, pairs):
        """Nothing passes between these pairs of hosts, in either direction, until the next cut."""
        self.order(cut=[[a.ip, b.ip] for a, b in pairs])

    def tape(self, host):
        """Writes down datagrams to this host from now on."""
        self.order(tape=host.ip)

    def taped(self):
        return [bytes.fromhex(text) for text in self.order(read=True)["datagrams"]]

    def end(self):
        self.control.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def carry(tuns, delays, control):
    """The relay's loop: packets come out of one device and go into another when their time has come."""
    cut, taped_to, taped = set(), None, []
    by_fd = set(tuns.values())
    due, count, orders = [], 0, b""
    while True:
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, _, fd, packet = heapq.heappop(due)
            with contextlib.suppress(OSError):
                os.write(fd, packet)
        wait = min(0.5, max(0.0, due[0][0] - now)) if due else 0.5
        for fd in select.select([*by_fd, control], [], [], wait)[0]:
            if fd is control:
                piece = control.recv(65_536)
                if not piece:
                    return
                orders += piece
                while b"\n" in orders:
                    line, orders = orders.split(b"\n", 1)
                    order = json.loads(line)
                    answer = {}
                    if "cut" in order:
                        pairs = [tuple(socket.inet_aton(ip) for ip in pair) for pair in order["cut"]]
                        cut = {*pairs, *((b, a) for a, b in pairs)}
                    if "tape" in order:
                        taped_to, taped = socket.inet_aton(order["tape"]), []
                    if "read" in order:
                        answer, taped = {"datagrams": [one.hex() for one in taped]}, []
                    control.sendall(json.dumps(answer).encode() + b"\n")
                continue
            for _ in range(64):
                try:
                    packet = os.read(fd, 65_536)
                except BlockingIOError:
                    break
                source, target = packet[12:16], packet[16:20]
                if packet[0] >> 4 != 4 or target not in tuns or (source, target) in cut:
                    continue
                if target == taped_to and packet[9] == socket.IPPROTO_UDP and len(taped) < TAPED_MOST:
                    taped.append(packet[28:])
                count += 1
                heapq.heappush(due, (time.monotonic() + delays.get((source, target), 0.0), count, tuns[target], packet))
