# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' interface: security contexts."""
import json
import os
import re

from cases import case
from cri import CallError, Pod
from harness import caps_mask, check, check_equal, check_in


def mask_of(name):
    return int(caps_mask([name]), 16)


def status_of(pod, name, *keys):
    """Lines of /proc/self/status."""
    found = dict(re.findall(r"^(\w+):\s*(.*)$", pod.out(name, "cat", "/proc/self/status"), re.M))
    return [found[key] for key in keys]


@case("cri", "users and groups")
def users(t):
    with Pod(t.runtime, "users") as pod:
        folder = pod.volume("data")
        # As kubelet leaves a volume with an fsGroup.
        os.chown(folder, 0, 2000)
        os.chmod(folder, 0o2770)
        pod.container("one", "sleep", "1000", run_as_user=1001, run_as_group=3003, supplemental_groups=[2000, 2001],
                      mounts=((folder, "/data"),))
        with t.line("runAsUser, runAsGroup, supplementalGroups"):
            check_equal(pod.sh("one", "id -u; id -g; id -G"), "1001\n3003\n3003 2000 2001", "ids")
        with t.line("fsGroup: its files can be written, and have the group"):
            pod.sh("one", "echo x >/data/file")
            st = os.stat(os.path.join(folder, "file"))
            check_equal((st.st_uid, st.st_gid), (1001, 2000), "owner on the host")
        with t.line("others' files cannot"):
            check(pod.exec("one", "touch", "/etc/no").exit_code != 0, "it can")


@case("cri", "a user by name")
def username(t):
    with Pod(t.runtime, "names") as pod:
        pod.container("one", "sleep", "1000", run_as_username="nobody", supplemental_groups=[2000])
        with t.line("runAsUserName: ids and group are the image's, others are added"):
            check_equal(pod.sh("one", "id -u; id -g; id -G"), "65534\n65534\n65534 2000", "ids")
            check_equal(int(status_of(pod, "one", "CapEff")[0], 16), 0, "capabilities")
        with t.line("a name that the image does not know fails its container alone"):
            try:
                pod.container("other", "true", run_as_username="nobody-at-all")
                check(False, "it runs")
            except CallError as e:
                check_in("no users found", e.details, "reason")
            check_equal(pod.out("one", "echo", "alive"), "alive", "exec")


# What kubelet asks for with procMount "Default"; "Unmasked" is none of them.
MASKED = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


@case("cri", "procMount")
def proc_mount(t):
    with Pod(t.runtime, "proc") as pod:
        pod.container("usual", "sleep", "1000", masked_paths=MASKED, readonly_paths=READONLY)
        pod.container("unmasked", "sleep", "1000")
        with t.line("Default: nothing can be read of what is masked, nothing written of what is read-only"):
            text = pod.sh("usual", f"for i in {' '.join(MASKED)}; do [ -f $i ] && wc -c <$i; [ -d $i ] && ls -A $i; done; true")
            check_equal(set(text.split()) - {"0"}, set(), "what is read")
            for path in READONLY:
                flags = pod.sh("usual", f"awk '$2 == \"{path}\" {{print $4}}' /proc/mounts")
                check(flags.split(",")[0] == "ro" or not pod.sh("usual", f"ls -d {path} 2>/dev/null || true"), f"{path}: {flags!r}")
        with t.line("Unmasked: all of it is there"):
            check_equal(pod.sh("unmasked", "grep -c ' /proc/' /proc/mounts || true"), "0", "mounts below /proc")
            check(int(pod.sh("unmasked", "wc -c </proc/timer_list")) > 0 if t.ours else True, "/proc/timer_list is empty")


@case("cri", "who is killed first when memory is short")
def oom_score(t):
    with Pod(t.runtime, "scores") as pod:
        for name, score in (("first", 999), ("last", 3)):
            pod.container(name, "sleep", "1000", resources={"oom_score_adj": score})
            with t.line(f"{score}: its processes have it, those of exec too"):
                check_equal([pod.out(name, "cat", f"/proc/{pid}/oom_score_adj") for pid in ("1", "self")], [str(score)] * 2, "score")


@case("cri", "read-only root, no new privileges, masked paths")
def read_only(t):
    with Pod(t.runtime, "fixed") as pod:
        pod.container("one", "sleep", "1000", readonly_rootfs=True, no_new_privs=True,
                      masked_paths=["/proc/timer_list", "/proc/keys"], readonly_paths=["/proc/sys"])
        with t.line("readOnlyRootFilesystem"):
            check(pod.exec("one", "touch", "/file").exit_code != 0, "it can be written")
            check_equal(pod.exec("one", "touch", "/dev/shm/file").exit_code, 0, "/dev/shm")
        with t.line("noNewPrivs"):
            check_equal(status_of(pod, "one", "NoNewPrivs"), ["1"], "NoNewPrivs")
        with t.line("masked and read-only paths"):
            check_equal(pod.out("one", "cat", "/proc/keys"), "", "a masked file")
            check(pod.exec("one", "sh", "-c", "echo 1 >/proc/sys/kernel/domainname").exit_code != 0, "it can be written")


@case("cri", "capabilities")
def capabilities(t):
    with Pod(t.runtime, "rights") as pod:
        pb = pod.pb
        pod.container("none", "sleep", "1000", capabilities=pb.Capability(drop_capabilities=["ALL"]))
        pod.container("one", "sleep", "1000",
                      capabilities=pb.Capability(drop_capabilities=["ALL"], add_capabilities=["NET_ADMIN"]))
        pod.container("usual", "sleep", "1000", capabilities=pb.Capability(drop_capabilities=["CHOWN"]))
        with t.line("all dropped"):
            check_equal([int(x, 16) for x in status_of(pod, "none", "CapEff", "CapBnd")], [0, 0], "capabilities")
        with t.line("one added to none"):
            check_equal(int(status_of(pod, "one", "CapEff")[0], 16), mask_of("CAP_NET_ADMIN"), "capabilities")
            check_equal(pod.exec("one", "ip", "link", "set", "lo", "mtu", "60000").exit_code, 0, "what it is for")
        with t.line("one taken away"):
            mask = int(status_of(pod, "usual", "CapEff")[0], 16)
            check(mask and not mask & mask_of("CAP_CHOWN"), f"capabilities {mask:x}")
            check(pod.exec("usual", "chown", "1", "/etc/passwd").exit_code != 0, "it can change owners")


@case("cri", "seccomp profiles")
def seccomp(t):
    profile = t.path("profile.json", json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}))
    with Pod(t.runtime, "filters") as pod:
        pb = pod.pb
        kinds = pb.SecurityProfile
        pod.container("default", "sleep", "1000", seccomp=kinds(profile_type=kinds.RuntimeDefault))
        pod.container("none", "sleep", "1000", seccomp=kinds(profile_type=kinds.Unconfined))
        pod.container("own", "sleep", "1000", seccomp=kinds(profile_type=kinds.Localhost, localhost_ref=profile))
        with t.line("RuntimeDefault, Unconfined, Localhost: the mode"):
            check_equal([status_of(pod, name, "Seccomp")[0] for name in ("default", "none", "own")], ["2", "0", "2"], "modes")
        with t.line("Localhost: the profile's rules hold"):
            check(pod.exec("own", "mkdir", "/folder").exit_code != 0, "it can make a folder")
            for name in ("default", "none"):
                check_equal(pod.exec(name, "mkdir", "/folder").exit_code, 0, f"mkdir in {name}")
        with t.line("RuntimeDefault: what it refuses is refused"):
            check(pod.exec("default", "unshare", "-m", "true").exit_code != 0, "unshare works")
        with t.line("a profile that is missing fails its container alone"):
            try:
                pod.container("missing", "true", seccomp=kinds(profile_type=kinds.Localhost, localhost_ref="/no/such/profile"))
                check(False, "it runs")
            except CallError as e:
                check_in("/no/such/profile", e.details, "reason")
            check_equal(pod.exec("none", "true").exit_code, 0, "the others")


@case("cri", "sysctls")
def sysctls(t):
    wanted = {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "20000 30000", "net.core.somaxconn": "777"}
    with Pod(t.runtime, "tuned", sysctls=wanted) as pod:
        pod.container("one", "sleep", "1000")
        with t.line("those of ipc and network are the pod's"):
            found = {key: pod.out("one", "cat", "/proc/sys/" + key.replace(".", "/")).replace("\t", " ") for key in wanted}
            check_equal(found, wanted, "values")


@case("cri", "privileged")
def privileged(t):
    # The machines of the tests do not let runc make a privileged container.
    with Pod(t.runtime, "crown", privileged=True) as pod:
        pod.container("one", "sleep", "1000", privileged=True)
        with t.line("all capabilities, no seccomp, writable /sys and /proc/sys"):
            bounding, effective, mode = status_of(pod, "one", "CapBnd", "CapEff", "Seccomp")
            check_equal(effective, bounding, "effective capabilities")
            check(int(effective, 16) & mask_of("CAP_SYS_ADMIN"), f"capabilities {effective}")
            check_equal(mode, "0", "seccomp mode")
            pod.sh("one", "echo 40000 >/proc/sys/net/core/somaxconn; mkdir /folder; mount -t tmpfs none /folder")
        if t.ours:
            with t.line("without the host's devices: those of the guest are there"):
                names = pod.out("one", "ls", "/dev").split()
                check(set(names) >= {"null", "zero", "full", "random", "urandom", "tty", "shm", "pts"}, f"{names}")
                check(not set(names) & {"kvm", "vda", "sda", "mem"}, f"{names}")
