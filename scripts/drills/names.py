#!/usr/bin/env python3
# A name server for the drills, a few lines of DNS: addresses of one name, services of another, and lies.

import select
import socket
import struct
import threading

from wire import inside

A, AAAA, SRV = 1, 28, 33


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def question_of(message):
    """The name that is asked for in lower case, its type, and where the question ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode(errors="replace").lower())
        at += 1 + message[at]
    return ".".join(labels), struct.unpack(">H", message[at + 1 : at + 3])[0], at + 5


class NameServer(threading.Thread):
    """`hosts`: addresses by name. `services`: by name, (target, port). While `lies`, those come first and what is true may never come."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.hosts, self.services = host, {}, {}
        # Answers nobody; answers with these messages made of the question before, or instead of, the true one.
        self.is_gone, self.lies, self.is_over, self.asked = False, [], False, []
        with inside(host):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host.ip, 53))
        self.start()

    def run(self):
        while not self.is_over:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            message, sender = self.socket.recvfrom(4096)
            try:
                name, kind, end = question_of(message)
            except (IndexError, struct.error):
                continue
            self.asked.append((name, kind))
            if self.is_gone:
                continue
            for lie in self.lies:
                self.socket.sendto(lie(message, end), sender)
            self.socket.sendto(self.answer(message, name, kind, end), sender)

    def answer(self, message, name, kind, end):
        records = []
        if kind == A:
            records = [(A, socket.inet_aton(ip)) for ip in self.hosts.get(name, [])]
        elif kind == SRV:
            records = [(SRV, struct.pack(">HHH", 0, 0, port) + encoded(target)) for target, port in self.services.get(name, [])]
        is_known = name in self.hosts or name in self.services
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 5, len(data)) + data for kind, data in records)
        # Too long for UDP: cut, and said to be.
        flags, body, count = (0x8380, b"", 0) if len(body) > 3_500 else (0x8180, body, len(records))
        head = message[:2] + struct.pack(">HHHHH", flags if is_known else 0x8183, 1, count, 0, 0)
        return head + message[12:end] + body

    def end(self):
        self.is_over = True
        self.join()
        self.socket.close()


def wrong_number(message, end):
    """An answer to another question, as somebody sends it who cannot see ours."""
    number = struct.pack(">H", struct.unpack(">H", message[:2])[0] ^ 0x5555)
    return number + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + message[12:end] + b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 5, 4) + b"\x0a\x61\x00\x42"


def garbage(message, end):
    return message[:2] + b"\x81\x80\xff\xff\xff\xff\xff\xff\xff\xff" + b"\xc0" * 40


def loop(message, end):
    """A name that points at itself."""
    return message[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + message[12:end] + struct.pack(">H", 0xC000 | end) + b"\0\x21\0\1"


def cut(message, end):
    return message[: end - 3]
