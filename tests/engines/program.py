# SPDX-License-Identifier: Apache-2.0
"""A program on a terminal of its own, as a person starts it."""
import fcntl
import os
import pty
import subprocess
import termios

from harness import wait_until
from terminal import Terminal

# A hang is a failure: time for a program to end, in seconds.
END_LIMIT = 180


def follows_our_size(terminal):
    """
    Waits until the shell at @terminal sees a size that ours was changed to. Clients of engines tell the size first and
    listen for changes afterwards, so that one may be lost: each attempt makes another.
    """
    columns = 100

    def followed():
        nonlocal columns
        columns += 1
        terminal.resize(columns, 40)
        terminal.type("stty size; echo ne''xt\n")
        return f"40 {columns}" in terminal.expect("next")

    wait_until(followed, "the new size arrives")


class Program(Terminal):
    """.process on a terminal of its own; what it types and reads is in terminal.py."""

    def __init__(self, argv, rows, columns, cwd):
        master, slave = pty.openpty()
        super().__init__(master)
        self.resize(columns, rows)
        self.process = subprocess.Popen(argv, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def code(self):
        """The exit code, once all output has been read and the program has ended by itself."""
        self.rest(END_LIMIT)
        return self.process.wait(END_LIMIT)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()
