# SPDX-License-Identifier: Apache-2.0
"""A ttrpc client of one connection, and as much of protobuf as its calls need: fields by their numbers.

A message is written as a list of (number, value): numbers are varints, texts and bytes themselves, a list is a message
inside. It is read as a dictionary of lists, with bytes for everything that has a length. The code is independent of the
runtime's own on purpose.
"""
import socket
import struct

REQUEST, RESPONSE = 1, 2
CODES = {3: "INVALID_ARGUMENT", 5: "NOT_FOUND", 6: "ALREADY_EXISTS", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION",
         12: "UNIMPLEMENTED"}


class Refused(Exception):
    """The peer has answered with a status."""

    def __init__(self, code, text):
        super().__init__(f"{CODES.get(code, code)}: {text}")
        self.code, self.text = CODES.get(code, code), text


def varint(number):
    data = b""
    while number > 0x7f:
        data += bytes([number & 0x7f | 0x80])
        number >>= 7
    return data + bytes([number])


def encode(fields):
    data = b""
    for number, value in fields:
        if isinstance(value, int):
            data += varint(number << 3) + varint(int(value))
            continue
        if isinstance(value, str):
            value = value.encode()
        elif not isinstance(value, bytes):
            value = encode(value)
        data += varint(number << 3 | 2) + varint(len(value)) + value
    return data


def take_varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7f) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return number, at


def decode(data):
    fields, at = {}, 0
    while at < len(data):
        key, at = take_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = take_varint(data, at)
        else:
            length, at = take_varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at:at + length], at + length
        fields.setdefault(key >> 3, []).append(value)
    return fields


class Client:
    def __init__(self, path, limit=300):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(limit)
        self.socket.connect(path)
        self.stream = -1
        self.answers = {}

    def send(self, service, method, fields):
        """Returns what answer() wants."""
        self.stream += 2
        payload = encode([(1, service), (2, method), (3, encode(fields))])
        self.socket.sendall(struct.pack(">IIBB", len(payload), self.stream, REQUEST, 0) + payload)
        return self.stream

    def receive(self, length):
        data = b""
        while len(data) < length:
            got = self.socket.recv(length - len(data))
            if not got:
                raise ConnectionError("the other side has closed the connection")
            data += got
        return data

    def answer(self, stream):
        """Answers come in any order."""
        while stream not in self.answers:
            length, of, kind, _ = struct.unpack(">IIBB", self.receive(10))
            payload = self.receive(length)
            if kind == RESPONSE:
                self.answers[of] = decode(payload)
        response = self.answers.pop(stream)
        status = decode(response.get(1, [b""])[0])
        if status.get(1, [0])[0]:
            raise Refused(status[1][0], status.get(2, [b""])[0].decode())
        return decode(response.get(2, [b""])[0])

    def call(self, service, method, fields):
        return self.answer(self.send(service, method, fields))

    def close(self):
        self.socket.close()
