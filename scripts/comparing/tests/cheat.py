#!/usr/bin/env python3
# Proxies that a guard must see through, each for one test: `cheat.py echo PORT` answers every call itself, as a cache would;
# `cheat.py stray PORT` does so from all cores; `cheat.py wrong PORT` answers with somebody else's id.

import asyncio
import json
import os
import sys

KIND, PORT = sys.argv[1], int(sys.argv[2])
RESULT = "0x" + "0" * 96


async def converse(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            call = json.loads(await reader.readexactly(length))
            answer = {"jsonrpc": "2.0", "id": 5 if KIND == "wrong" else call["id"], "result": RESULT}
            body = json.dumps(answer, separators=(",", ":")).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve():
    if KIND == "stray":
        os.sched_setaffinity(0, range(os.cpu_count()))
    server = await asyncio.start_server(converse, "127.0.0.1", PORT)
    await server.serve_forever()


asyncio.run(serve())
