#!/usr/bin/env python3
# The flood of the drills: flood.py IP:PORT SECONDS RATE SENDERS TAPE. Sends to one node from many sockets what a stranger can send, at that rate at most
# and for that time, and prints what was sent and what came back, in all and at worst to one sender.

import contextlib
import json
import os
import random
import socket
import sys
import time

HEAD_BYTES = 27


def mixture(tape, draw):
    """Datagrams of every kind, made before, so that sending is all that costs."""
    kinds = []
    for _ in range(4_000):
        recorded = draw.choice(tape)
        place = draw.randrange(len(recorded))
        damaged = recorded[:place] + bytes([recorded[place] ^ 1 << draw.randrange(8)]) + recorded[place + 1 :]
        foreign = b"LC\x01" + os.urandom(draw.randrange(57, 1_197))
        kinds.append(
            draw.choice(
                [
                    recorded,
                    recorded,
                    recorded[:place],
                    damaged,
                    recorded + bytes(draw.randrange(1_500)),
                    # A right head over something else; a head of nobody's; nothing at all.
                    recorded[:HEAD_BYTES] + os.urandom(len(recorded) - HEAD_BYTES),
                    foreign,
                    os.urandom(draw.randrange(1_400)),
                ]
            )
        )
    return kinds


def drain(sockets, back):
    for number, one in enumerate(sockets):
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                back[number] += len(one.recv(65_536))


def main():
    where, seconds, rate, senders, tape = sys.argv[1:]
    ip, port = where.rsplit(":", 1)
    draw = random.Random(1)
    with open(tape, encoding="ascii") as file:
        datagrams = mixture([bytes.fromhex(text) for text in json.load(file)], draw)
    sockets = []
    for _ in range(int(senders)):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.connect((ip, int(port)))
        one.setblocking(False)
        sockets.append(one)
    sent, back, count = [0] * len(sockets), [0] * len(sockets), 0
    began = time.monotonic()
    while (passed := time.monotonic() - began) < float(seconds):
        due = int(passed * int(rate)) - count
        for _ in range(min(due, 200)):
            number = count % len(sockets)
            datagram = datagrams[draw.randrange(len(datagrams))]
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                sent[number] += sockets[number].send(datagram)
            count += 1
        if due < 20:
            time.sleep(0.001)
        if count % 2_000 < 200:
            drain(sockets, back)
    time.sleep(0.5)
    drain(sockets, back)
    worst = max(got / max(1, gave) for got, gave in zip(back, sent))
    print(json.dumps({"sent": count, "bytes": sum(sent), "back": sum(back), "worst": worst}))


main()
