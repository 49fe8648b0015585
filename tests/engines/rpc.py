# SPDX-License-Identifier: Apache-2.0
"""gRPC as the tests use it: one method at a time, an error is a CallError."""
import os

from harness import Failure

# gRPC's threads and our forks: nothing of it is used after a fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc  # noqa: E402

# A hang is a failure: no call may take longer, in seconds.
CALL_LIMIT = 300


class CallError(Failure):
    """The other side has answered with an error."""

    def __init__(self, method, code, details):
        super().__init__(f"{method}: {code}: {details}")
        self.code, self.details = code, details


def connect(address):
    return grpc.insecure_channel(address, options=[("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0)])


def caller(channel, service, method, encode, decode, metadata=None):
    """A function of a request, which returns the answer."""
    call = channel.unary_unary(f"/{service}/{method}", request_serializer=encode, response_deserializer=decode)

    def checked(request, limit=CALL_LIMIT):
        try:
            return call(request, timeout=limit, metadata=metadata)
        except grpc.RpcError as e:
            raise CallError(method, e.code().name, e.details())
    return checked
