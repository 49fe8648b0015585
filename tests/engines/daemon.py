# SPDX-License-Identifier: Apache-2.0
"""A daemon of an engine: start it, wait until it answers, see what it wrote, end it."""
import os
import signal
import subprocess

import world
from harness import Failure, kill_quietly, wait_until

# Time for a daemon to answer or to end, in seconds.
DAEMON_LIMIT = 180


class Daemon:
    """An engine with a daemon: .daemon is its process (None: none), program its name, run() its client."""
    daemon = None

    @classmethod
    def launch(cls, argv, first_in_path=""):
        """@first_in_path: a folder whose programs the daemon finds before the system's."""
        with open(world.log_file(cls.program), "ab") as log:
            cls.daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                          env=dict(os.environ, PATH=f"{first_in_path}:{os.environ['PATH']}".lstrip(":")))
        wait_until(lambda: cls.run("version").code == 0 or cls.daemon.poll() is not None, f"{cls.program} answers",
                   DAEMON_LIMIT)
        if cls.daemon.poll() is not None:
            raise Failure(f"{cls.program} ended: {cls.log()[-2000:]}")

    @classmethod
    def log(cls):
        with open(world.log_file(cls.program), errors="replace") as f:
            return f.read()

    @classmethod
    def stop(cls, number=signal.SIGTERM):
        if cls.daemon is None:
            return
        cls.daemon.send_signal(number)
        try:
            cls.daemon.wait(DAEMON_LIMIT)
        except subprocess.TimeoutExpired:
            kill_quietly(cls.daemon.pid)
            cls.daemon.wait()
            raise Failure(f"{cls.program} did not end within {DAEMON_LIMIT} s")
        finally:
            cls.daemon = None
