# SPDX-License-Identifier: Apache-2.0
"""The guest's half of the network: names asked of a server on the loopback interface of the host's side."""
import contextlib
import os
import subprocess
import time

from harness import base_config, check, check_equal, check_in, claim

HERE = os.path.dirname(os.path.abspath(__file__))


@contextlib.contextmanager
def name_server(*args):
    """A network namespace with a server in it; gives the path of the namespace."""
    server = subprocess.Popen(["/usr/bin/python3", os.path.join(HERE, "dns_server.py"), *args],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        check_equal(server.stdout.readline(), "ready\n", "name server")
        yield f"/proc/{server.pid}/ns/net"
    finally:
        server.stdin.close()
        server.stdout.close()
        server.wait()


def far_server():
    """One that listens on all addresses: a name server somewhere else in the network."""
    return name_server("0.0.0.0")


def in_network(path, resolv=None, **more):
    """Changes of a bundle: the network namespace @path, and the file @resolv at /etc/resolv.conf."""
    def namespaces(old):
        return [dict(n, path=path) if n["type"] == "network" else n for n in old]

    mounts = base_config([])["mounts"]
    if resolv:
        mounts.append({"destination": "/etc/resolv.conf", "type": "bind", "source": resolv,
                       "options": ["rbind", "rprivate"]})
    return dict(linux__namespaces=namespaces, mounts=mounts, **more)


def resolv_conf(box, text="# made by an engine\nnameserver 127.0.0.11\noptions ndots:0\n"):
    path = os.path.join(box.dir, "resolv.conf")
    with open(path, "w") as f:
        f.write(text)
    return path


@claim("a name is resolved in the guest by the server at 127.0.0.11 of the host's side: musl's way, glibc's, busybox's")
def resolves(box):
    with name_server() as net:
        resolv = resolv_conf(box)
        script = "probe ask udp h.test 3 5; probe ask tcp h.test 3 5; nslookup -type=a 259.h.test; nslookup -type=a nobody.nowhere"
        out = box.run(["sh", "-c", script], **in_network(net, resolv))
        check_in("3 of 3", out.text, "UDP")
        check_equal(out.text.count("3 of 3"), 2, f"transports that work in {out!r}")
        check_in("0.0.1.3", out.text, "busybox's nslookup")
        check("nobody.nowhere" in out.text + out.errors, f"a name that does not exist: {out!r}")
        for options in ("", "options use-vc\n"):
            with open(resolv, "w") as f:
                f.write(f"nameserver 127.0.0.11\n{options}")
            out = box.run_ok(["getent", "hosts", "65537.h.test"], name="c2", image="minbase",
                             **in_network(net, resolv))
            check_in("0.1.0.1", out.text, f"glibc with {options!r}")


@claim("a thousand queries in a row are all answered, and a thousand at once do not break the next")
def thousand(box):
    with name_server() as net:
        script = ("probe ask udp h.test 1000 5; for i in 1 2 3 4 5 6 7 8 9 10; do probe ask udp h.test 100 1 & done; "
                  "wait; probe ask tcp h.test 100 5")
        out = box.run_ok(["sh", "-c", script], **in_network(net, resolv_conf(box))).text.splitlines()
        check_in("1000 of 1000", out[0], "in a row")
        check_in("100 of 100", out[-1], "by TCP afterwards")


@claim("an answer of 60,000 bytes comes by TCP, and by UDP as truncated")
def big(box):
    with name_server() as net:
        out = box.run_ok(["sh", "-c", "probe ask tcp big.test 5 5; probe ask udp big.test 1 5"],
                         **in_network(net, resolv_conf(box))).text.splitlines()
        check(out[0].startswith("5 of 5, longest 6"), f"by TCP: {out}")
        check(out[1].startswith("0 of 1, longest ") and len(out[1]) < 22, f"by UDP: {out}")


@claim("a server that is silent, or not there at all, is the resolver's time-out, not a hang, and others go on")
def silent(box):
    with name_server() as net:
        script = ("for i in $(seq 100); do probe ask udp silent.test 1 1 & done; sleep .5; "
                  "probe ask udp h.test 20 5 | sed s/^/meanwhile:/; wait; probe ask tcp silent.test 1 1")
        begin = time.monotonic()
        out = box.run_ok(["sh", "-c", script], **in_network(net, resolv_conf(box))).text
        check_equal(out.count("0 of 1"), 101, "silent server")
        check_in("meanwhile:20 of 20", out, "the others")
        check(time.monotonic() - begin < 60, "the queries took too long")
    with name_server("127.0.0.99") as net:
        out = box.run_ok(["sh", "-c", "probe ask tcp h.test 1 10; probe ask udp h.test 1 1"], name="c2",
                         **in_network(net, resolv_conf(box))).text.splitlines()
        check_equal(out, ["0 of 1, longest 0"] * 2, "nobody listens")


@claim("a resolv.conf that the engine writes between create and start counts, as Docker's does")
def written_late(box):
    with name_server() as net:
        resolv = resolv_conf(box, "nameserver 192.0.2.1\n")
        pid = box.create(["probe", "ask", "udp", "h.test", "3", "5"], **in_network(net, resolv))
        with open(resolv, "w") as f:
            f.write("nameserver 127.0.0.11\n")
        box.ok("start", "c1")
        check_equal(box.exit_of(pid), 0, "exit code")
        check_in("3 of 3", box.output_of(), "answers")


@claim("without such a name server nothing listens in the guest, and the host's side is not asked")
def not_needed(box):
    with name_server() as net:
        for name, resolv in (("c1", None), ("c2", resolv_conf(box, "nameserver 192.0.2.1\nnameserver ::1\n"))):
            script = "probe ask tcp h.test 1 5; cat /proc/net/udp /proc/net/tcp | grep -c 0B00007F"
            out = box.run(["sh", "-c", script], name=name, **in_network(net, resolv))
            check_equal(out.text.splitlines(), ["0 of 1, longest 0", "0"], f"sockets in the guest of {name}")


@claim("a workload may listen on port 53 of all addresses beside it, and reaches its own server there")
def own_server(box):
    with name_server() as net:
        script = ("echo own | nc -l -p 53 & sleep .5; nc 127.0.0.1 53 </dev/null; "
                  "probe ask tcp h.test 1 5; probe ask udp h.test 1 5")
        out = box.run(["sh", "-c", script], **in_network(net, resolv_conf(box))).text
        check_in("own", out, "its own server")
        check_equal(out.count("1 of 1"), 2, f"the host's server in {out!r}")


@claim("a query goes nowhere but to the servers that resolv.conf names")
def nowhere_else(box):
    with name_server("127.0.0.12") as net:
        resolv = resolv_conf(box, "nameserver 127.0.0.11\n")
        out = box.run(["sh", "-c", "nslookup -type=a 1.h.test 127.0.0.12; probe ask udp h.test 1 1"],
                      **in_network(net, resolv))
        check("0.0.0.1" not in out.text, f"an address was found: {out!r}")


@claim("a container that joins later has its name server served too")
def joins_later(box):
    with name_server() as net:
        box.start(["sleep", "1000"], **in_network(net))
        out = box.run_ok(["probe", "ask", "udp", "h.test", "5", "5"], name="c2", **in_network(net, resolv_conf(box)))
        check_in("5 of 5", out.text, "answers")
        # The first one shares the network of the VM, as it would that of the host.
        check_in("5 of 5", box.ok("exec", "c1", "probe", "ask", "udp", "h.test", "5", "5").text, "answers")


def add_card(net, *commands):
    """An interface eth0 in the network namespace @net, whose other end nobody uses; then each `ip` command."""
    for words in ("link add eth0 address 02:00:00:00:12:34 type veth peer name other", "link set eth0 up", *commands):
        subprocess.run(["nsenter", f"--net={net}", "ip", *words.split()], check=True)


CARD = ("addr add 10.11.12.13/24 dev eth0", "addr add fd00:11::13/64 dev eth0 nodad",
        "route add default via 10.11.12.1", "route add 10.99.0.0/16 via 10.11.12.7 metric 44 mtu 1300",
        "neigh add 10.11.12.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent", "link set eth0 mtu 1432")


@claim("the guest's card is the one of the host's side: name, hardware address, MTU, addresses, routes, neighbours")
def card(box):
    with name_server() as net:
        add_card(net, *CARD)
        out = box.run_ok(["sh", "-c", "ip addr show eth0; ip route; ip -6 route; ip neigh"], **in_network(net)).text
        for text in ("mtu 1432", "02:00:00:00:12:34", "inet 10.11.12.13/24", "fd00:11::13/64",
                     "default via 10.11.12.1 dev eth0", "10.99.0.0/16 via 10.11.12.7 dev eth0", "metric 44",
                     "10.11.12.0/24 dev eth0", "fd00:11::/64 dev eth0", "10.11.12.1 dev eth0 lladdr 02:00:00:00:00:99"):
            check_in(text, out, "network of the guest")
        check("tentative" not in out, f"an address waits: {out}")


@claim("the server at 127.0.0.11 can ask others through the interface that the guest has taken over, and so can the guest")
def asks_others(box):
    with name_server() as net, far_server() as far:
        subprocess.run(["ip", "link", "add", "far0", "type", "veth", "peer", "name", "eth0", "netns", net.split("/")[2]],
                       check=True)
        subprocess.run(["ip", "link", "set", "far0", "netns", far.split("/")[2]], check=True)
        for path, words in ((far, "addr add 10.11.12.1/24 dev far0"), (far, "link set far0 up"),
                            (net, "addr add 10.11.12.13/24 dev eth0"), (net, "link set eth0 up")):
            subprocess.run(["nsenter", f"--net={path}", "ip", *words.split()], check=True)
        script = "probe ask udp far.test 20 4; nslookup -type=a 5.h.test 10.11.12.1; ping -c 2 -w 5 10.11.12.1"
        out = box.run(["sh", "-c", script], process__capabilities=lambda old: {
            k: v + ["CAP_NET_RAW"] for k, v in old.items()}, **in_network(net, resolv_conf(box))).text
        check_in("20 of 20", out, "names that the server has to ask for")
        check_in("0.0.0.5", out, "the same server asked by the guest itself")
        check_in("2 packets received", out, "ping")
        with open(os.path.join(box.dir, "range"), "w") as f:
            subprocess.run(["nsenter", f"--net={net}", "cat", "/proc/sys/net/ipv4/ip_local_port_range"], stdout=f,
                           check=True)
        with open(os.path.join(box.dir, "range")) as f:
            check_equal(f.read().split(), ["32768", "60999"], "range of ports afterwards")


@claim("net sysctls hold in the guest: of all cards, of those that come later, of one by its name")
def net_sysctls(box):
    settings = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.default.rp_filter": "2", "net.ipv4.conf.all.log_martians": "1",
                "net.ipv4.conf.eth0.route_localnet": "1", "net.ipv4.ip_unprivileged_port_start": "7",
                "net.ipv6.conf.all.disable_ipv6": "1"}
    script = "cd /proc/sys/net; cat " + " ".join(k.replace(".", "/")[4:] for k in settings) + \
        "; cat ipv4/conf/eth0/rp_filter; ip addr show eth0"
    with name_server() as net:
        for name, late in (("c1", False), ("c2", True)):
            if not late:
                add_card(net, *CARD)
            pid = box.create(["sh", "-c", script], name=name, linux__sysctl=settings, **in_network(net))
            if late:
                add_card(net, *CARD)
            box.ok("start", name)
            check_equal(box.exit_of(pid), 0, "exit code")
            lines = box.output_of(name).splitlines()
            check_equal(lines[:6], list(settings.values()), f"values in {name}")
            check(not late or lines[6] == "2", f"default of a card that came late: {lines[6]}")
            check_in("10.11.12.13/24", box.output_of(name), "address")
            check("inet6" not in box.output_of(name), f"IPv6 is off: {box.output_of(name)}")
            box.ok("delete", name)
            subprocess.run(["nsenter", f"--net={net}", "ip", "link", "del", "eth0"], check=True)
        refused = box.command("run", "-b", box.bundle(["true"], linux__sysctl={"net.ipv4.conf.eth9.forwarding": "1"},
                                                      **in_network(net)), "c3")
        check(refused.code == 1, f"a card that is not there: {refused!r}")
        check_in("net.ipv4.conf.eth9.forwarding", refused.errors, "message")


@claim("the guest's loopback interface is up, with 127.0.0.1 and ::1")
def loopback(box):
    out = box.run_ok(["sh", "-c", "ip addr show lo; ping -c 1 -w 5 127.0.0.1; ping6 -c 1 -w 5 ::1"],
                     process__capabilities=lambda old: {k: v + ["CAP_NET_RAW"] for k, v in old.items()}).text
    for text in ("127.0.0.1/8", "::1/128", "LOWER_UP"):
        check_in(text, out, "lo")
    check_equal(out.count("1 packets received"), 2, f"answers to ping in {out!r}")
