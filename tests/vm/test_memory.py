# SPDX-License-Identifier: Apache-2.0
"""Memory of the guest, as the host sees it."""
import os
import re

from harness import check, claim, wait_until


def vmm_pss_mib():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().strip() != "onggi-vm":
                    continue
            with open(f"/proc/{pid}/smaps_rollup") as f:
                return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1)) // 1024
        except OSError:
            continue
    raise AssertionError("no VMM is there")


@claim("memory that a workload has given back returns to the host")
def freed(box):
    box.write_config(memory_mib=512)
    box.start(["sleep", "1000"])
    before = vmm_pss_mib()
    process = box.popen("exec", "c1", "probe", "alloc", "200", "hold")
    check(process.stdout.readline() == b"touched\n", "the program has its memory")
    check(vmm_pss_mib() >= before + 150, "the VMM has grown with it")
    process.stdin.close()
    check(process.wait(60) == 0, "the program that allocates")
    wait_until(lambda: vmm_pss_mib() <= before + 60, "it has shrunk to 60 MiB more than before")
    box.ok("delete", "--force", "c1")
