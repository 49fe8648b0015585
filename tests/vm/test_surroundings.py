# SPDX-License-Identifier: Apache-2.0
"""Callers of all kinds: what they ignore, block, close or lack must not decide what a command does."""
import signal

from harness import check_equal, claim

ORDINARY = [s for s in signal.Signals if s not in (signal.SIGKILL, signal.SIGSTOP)]


@claim("signals that the caller ignores or blocks, that of a child's end too, change nothing for run and exec")
def callers_signals(box):
    def ignore():
        for number in ORDINARY:
            signal.signal(number, signal.SIG_IGN)

    def block():
        signal.pthread_sigmask(signal.SIG_BLOCK, ORDINARY)

    bundle = box.bundle(["sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 7"])
    for surroundings in (ignore, block):
        result = box.command("run", "-b", bundle, "c1", preexec_fn=surroundings)
        check_equal((result.code, result.text.split()), (7, ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]), f"run ({result!r})")
        box.start(["sleep", "1000"])
        result = box.command("exec", "c1", "sh", "-c", "echo here; exit 8", preexec_fn=surroundings)
        check_equal((result.code, result.text), (8, "here\n"), f"exec ({result!r})")
        check_equal(box.command("delete", "--force", "c1", preexec_fn=surroundings).code, 0, "delete")
