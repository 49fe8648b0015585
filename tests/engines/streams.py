# SPDX-License-Identifier: Apache-2.0
"""kubectl's side of exec, attach and port-forward: the streams that the interface answers with a URL for, by WebSocket.

Each message begins with the number of its channel. Protocol: Kubernetes' "v4.channel.k8s.io".
"""
import json
import select
import struct

import cases
import websocket
from harness import Failure

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


class Stream:
    """with Stream(url) as s: what comes is collected in s.got, by channel."""

    def __init__(self, url):
        self.got = {}
        self.open = True
        self.socket = websocket.create_connection(url.replace("http", "ws", 1), timeout=cases.COMMAND_LIMIT,
                                                  subprotocols=["v4.channel.k8s.io"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        # Which does nothing after the other side's end.
        self.socket.shutdown()

    def send(self, channel, data):
        self.socket.send_binary(bytes([channel]) + (data if isinstance(data, bytes) else data.encode()))

    def resize(self, columns, rows):
        self.send(RESIZE, json.dumps({"Width": columns, "Height": rows}))

    def waits(self, seconds):
        """Whether there is something to be received within that time."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def receive(self):
        """One message more; False: there will be none."""
        try:
            kind, data = self.socket.recv_data()
        except websocket.WebSocketConnectionClosedException:
            kind, data = websocket.ABNF.OPCODE_CLOSE, b""
        if kind == websocket.ABNF.OPCODE_CLOSE:
            self.open = False
        elif data:
            self.got[data[0]] = self.got.get(data[0], b"") + data[1:]
        return self.open

    def until(self, channel, text):
        while text.encode() not in self.got.get(channel, b""):
            if not self.receive():
                raise Failure(f"the stream has ended before {text!r}: {self.got}")

    def end(self):
        """The status at the end, as (exit code, whole message)."""
        while self.receive():
            pass
        status = json.loads(self.got.get(ERROR) or b"{}")
        causes = (status.get("details") or {}).get("causes") or []
        codes = [int(c["message"]) for c in causes if c.get("reason") == "ExitCode"]
        return (0 if status.get("status") == "Success" else codes[0] if codes else None), status


class Forward(Stream):
    """One connection to one port of a pod: channel 0 has its bytes, 1 errors; each begins with the port's number."""

    def __init__(self, url, port):
        super().__init__(f"{url}?port={port}")
        for channel in (0, 1):
            while len(self.got.get(channel, b"")) < 2:
                if not self.receive():
                    raise Failure(f"no port forwarding: {self.got}")
            if struct.unpack("<H", self.got[channel][:2])[0] != port:
                raise Failure(f"another port: {self.got}")
            self.got[channel] = self.got[channel][2:]
