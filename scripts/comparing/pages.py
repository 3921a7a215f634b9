#!/usr/bin/env python3
# Readers of a node's dashboard, for the lane lasso-pages.

import socket
import threading
import time


class Page(threading.Thread):
    """Listens to the node's events and asks what an open dashboard asks, until the node ends."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.heard = port, 0
        threading.Thread(target=self.ask, daemon=True).start()
        self.start()

    def connect(self, path):
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        stream.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        return stream

    def run(self):
        try:
            stream = self.connect("/api/events")
            while piece := stream.recv(1 << 16):
                self.heard += len(piece)
        except OSError:
            pass

    def ask(self):
        try:
            while True:
                for path in ("/api/status", "/api/metrics/bench", "/api/providers/bench"):
                    stream = self.connect(path)
                    while stream.recv(1 << 16):
                        pass
                time.sleep(2)
        except OSError:
            pass
