#!/usr/bin/env python3
# A provider of the drills: provider.py IP PORT RESULT. Chain 1 stands at block 100; every call but the questions about the chain is answered with
# RESULT, so that an answer says whose it is.

import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = {"number": "0x64", "hash": "0x" + "64" * 32, "parentHash": "0x" + "63" * 32, "timestamp": "0x5"}
CHAIN = {"eth_chainId": "0x1", "eth_blockNumber": "0x64", "eth_getBlockByNumber": BLOCK, "eth_syncing": False}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        result = CHAIN.get(call["method"], sys.argv[3])
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
