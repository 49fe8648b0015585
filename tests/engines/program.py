# SPDX-License-Identifier: Apache-2.0
"""A program on a terminal of its own, as a person starts it."""
import fcntl
import os
import pty
import subprocess
import termios

import cases  # noqa: F401  (finds the folder of the next one)
from harness import Failure
from terminal import Terminal

# A hang is a failure: time for a program to end, in seconds.
END_LIMIT = 30


class Program(Terminal):
    """with Program(argv, rows=…, columns=…) as tty: what it types and reads is in terminal.py."""

    def __init__(self, argv, rows=24, columns=80):
        master, slave = pty.openpty()
        super().__init__(master)
        self.resize(columns, rows)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    def answers(self, line, text):
        """Whether @text comes within a second after @line was typed."""
        self.type(line)
        try:
            self.expect(text, 1)
        except Failure:
            return False
        return True

    def end(self):
        """The exit code, once the program has ended by itself."""
        self.rest(END_LIMIT)
        return self.process.wait(END_LIMIT)
