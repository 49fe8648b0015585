# SPDX-License-Identifier: Apache-2.0
"""Pseudo-terminals and the console socket, from the engine's side."""
import array
import fcntl
import os
import select
import socket
import struct
import termios
import time

from harness import Failure


class ConsoleSocket:
    """Listens as conmon does; receive() gives the master that the runtime sends."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(1)
        self.socket.settimeout(120)

    def receive(self):
        connection, _ = self.socket.accept()
        with connection:
            data, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_LEN(4 * 4))
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(payload)
        if len(fds) != 1 or not data:
            raise Failure(f"console socket: {len(fds)} descriptors with {data!r}, want one and a name")
        return Terminal(fds[0])

    def close(self):
        self.socket.close()
        os.unlink(self.path)


class Terminal:
    """A master, with the little that a test types and reads."""

    def __init__(self, master):
        self.master = master
        self.text = ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, text, limit=120):
        """Read until @text has come; returns all up to it and forgets that."""
        end = time.monotonic() + limit
        while text not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise Failure(f"terminal: no {text!r} within {limit} s; so far: {self.text!r}")
            if not self._read():
                raise Failure(f"terminal: ended without {text!r}; so far: {self.text!r}")
        head, self.text = self.text.split(text, 1)
        return head + text

    def rest(self, limit=120):
        """Everything up to the end."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.5)[0] and not self._read():
                return self.text
        raise Failure(f"terminal: no end within {limit} s; so far: {self.text!r}")

    def _read(self):
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)

    def close(self):
        os.close(self.master)
