#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small DNS server in a network namespace of its own: dns_server.py [ADDRESS]

Enters a new network namespace, brings its loopback interface up, listens on ADDRESS (127.0.0.11), port 53, UDP and
TCP, says "ready" and answers until stdin is closed:

  N.h.test       address of the number N
  N.big.test     by TCP an answer of over 60,000 bytes whose last four are N; by UDP "truncated", as the protocol wants
  anything.silent.test   nothing at all
  N.far.test     what the server at 10.11.12.1 says of N.h.test, asked by UDP from within this namespace
  other names    no such name
"""
import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading

CLONE_NEWNET = 0x40000000
NAME_HERE = b"\xc0\x0c"  # a pointer to the question's name
BIG_RECORDS = 3800


def record(number):
    return NAME_HERE + struct.pack("!HHIH", 1, 1, 60, 4) + struct.pack("!I", number)


def question(query):
    """The labels of the name, and where the question ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return labels, at + 5, struct.unpack_from("!H", query, at + 1)[0]


def ask_far(query):
    """As Docker's server does with names that are not its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.sendto(query.replace(b"\x03far\x04test", b"\x01h\x04test"), ("10.11.12.1", 53))
        try:
            reply = sock.recv(65536)
        except OSError:
            return None
    return reply.replace(b"\x01h\x04test", b"\x03far\x04test")


def answer(query, tcp):
    labels, end, kind = question(query)
    name = ".".join(labels[1:])
    flags, records = 0x8180, []
    if name == "far.test":
        return ask_far(query)
    if name == "silent.test":
        return None
    if name == "big.test" and not tcp:
        flags = 0x8380
    elif name in ("h.test", "big.test"):
        number = int(labels[0])
        if kind == 1:
            records = [record(number)] * (BIG_RECORDS if name == "big.test" else 1)
    else:
        flags = 0x8183
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return head + query[12:end] + b"".join(records)


def serve_udp(sock):
    while True:
        query, peer = sock.recvfrom(65536)
        reply = answer(query, False)
        if reply:
            sock.sendto(reply, peer)


def read_exactly(conn, n):
    data = b""
    while len(data) < n:
        more = conn.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def serve_conn(conn):
    with conn:
        try:
            while True:
                query = read_exactly(conn, struct.unpack("!H", read_exactly(conn, 2))[0])
                reply = answer(query, True)
                if reply:
                    conn.sendall(struct.pack("!H", len(reply)) + reply)
        except (EOFError, OSError):
            pass


def serve_tcp(sock):
    while True:
        threading.Thread(target=serve_conn, args=(sock.accept()[0],), daemon=True).start()


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.11"
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    udp.bind((address, 53))
    tcp.bind((address, 53))
    tcp.listen(64)
    threading.Thread(target=serve_udp, args=(udp,), daemon=True).start()
    threading.Thread(target=serve_tcp, args=(tcp,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


main()
