# SPDX-License-Identifier: Apache-2.0
"""podman run: what the options do, seen from inside of the container and from the host."""
import os

from cases import case
from harness import check, check_equal
from podman import IMAGE


@case("podman", "a container is a VM")
def is_a_vm(t):
    t.mark_host()
    lines = t.out("run", "--rm", "--network", "none", IMAGE, "sh", "-c",
                  "uname -r; cat /proc/[0-9]*/cmdline | tr '\\0' ' '").split("\n")
    with t.line("the guest's kernel is not the host's"):
        check_equal(lines[0] != os.uname().release, t.ours, "the kernel's release differs")
    with t.line("host processes are not visible"):
        check(len(lines) == 2 and t.marker not in lines[1], f"command lines seen inside: {lines[1:]}")
