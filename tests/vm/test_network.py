# SPDX-License-Identifier: Apache-2.0
"""The network as the engine has configured it, seen from inside the guest and from outside."""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading

from harness import DEFAULT_CAPS, check, check_equal, check_in, claim, wait_until
from netns import MAC, V4, V6, Netns, sh

CAPS = DEFAULT_CAPS + ["CAP_NET_RAW"]
SLEEP = ["sleep", "1000"]
PORT = 4321


def start(box, net, args=None, name="c1", **changes):
    changes.setdefault("process__capabilities", {"bounding": CAPS, "effective": CAPS, "permitted": CAPS})
    return box.start(args or SLEEP, name=name, linux__namespaces=net.namespaces(), **changes)


def inside(box, command, name="c1"):
    return box.ok("exec", name, "sh", "-c", command).text


def ping(address):
    return subprocess.run(["ping", "-c", "1", "-W", "5", "-n", address], capture_output=True).returncode == 0


def stop(box, net, name="c1"):
    box.ok("delete", "--force", name)
    check_equal(net.remains(), [], "taps and queues in the namespace after delete")


@claim("the guest has the interface's hardware address, MTU, addresses and routes, IPv4 and IPv6")
def same_as_outside(box):
    with Netns(box) as net:
        net.add(0, mtu=1400)
        net.ip(f"route add default via {V4 % 0}.1 metric 7", "route add 10.77.0.0/16 via 192.0.2.1 dev eth0 onlink",
               "route add unreachable 10.78.0.0/16", f"-6 route add default via {V6 % 0}:1")
        start(box, net)
        link = inside(box, "ip link show eth0")
        check_in(MAC % 0, link, "hardware address")
        check_in("mtu 1400", link, "MTU")
        check_in("UP", link, "state")
        addresses = inside(box, "ip addr show dev eth0")
        check_in(f"{V4 % 0}.2/24 brd {V4 % 0}.255", addresses, "IPv4 address")
        check_in(f"{V6 % 0}:2/64", addresses, "IPv6 address")
        check(not re.search("tentative", addresses), f"an address is tentative: {addresses}")
        routes = inside(box, "ip route")
        for route in (f"default via {V4 % 0}.1 dev eth0  metric 7", "10.77.0.0/16 via 192.0.2.1 dev eth0 onlink",
                      "unreachable 10.78.0.0/16", f"{V4 % 0}.0/24 dev eth0"):
            check_in(route, routes, "routes")
        check_in(f"default via {V6 % 0}:1 dev eth0", inside(box, "ip -6 route"), "IPv6 routes")
        # Engines look at the interface: it has kept what they configured.
        check_in(f"{V4 % 0}.2/24", net.run("ip addr show eth0"), "address outside")
        stop(box, net)


@claim("ping passes both ways, IPv4 and IPv6, and only the guest answers")
def pings(box):
    with Netns(box) as net:
        net.add(0)
        start(box, net)
        for address in (f"{V4 % 0}.1", f"{V6 % 0}:1"):
            inside(box, f"ping -c 2 -W 5 {address}")
        for address in (f"{V4 % 0}.2", f"{V6 % 0}:2"):
            check(ping(address), f"no answer of {address}")
        received = int(re.search(r"(\d+)", inside(box, "cat /sys/class/net/eth0/statistics/rx_packets")).group(1))
        check(received >= 6, f"the guest has received {received} packets only")
        # A port that nobody listens on: the refusal is the guest's.
        with socket.socket() as s:
            s.settimeout(60)
            check_equal(s.connect_ex((f"{V4 % 0}.2", 9)), 111, "connection to a closed port")
        stop(box, net)


def serve(address, payload, received):
    """One connection: send @payload, then collect what comes until the end."""
    server = socket.create_server((address, PORT), family=socket.AF_INET6 if ":" in address else socket.AF_INET)

    def work():
        peer, _ = server.accept()
        with peer, server:
            if payload:
                peer.sendall(payload)
                peer.shutdown(socket.SHUT_WR)
            while data := peer.recv(1 << 16):
                received.append(data)
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@claim("8 MB go through TCP both ways unchanged, IPv4 and IPv6")
def bulk(box):
    payload = os.urandom(8 << 20)
    want = hashlib.md5(payload).hexdigest()
    with Netns(box) as net:
        net.add(0)
        start(box, net)
        for address in (f"{V4 % 0}.1", f"{V6 % 0}:1"):
            received = []
            thread = serve(address, payload, received)
            got = inside(box, f"nc {address} {PORT} </dev/null >/tmp/data; md5sum </tmp/data")
            thread.join(30)
            check_in(want, got, "what the guest received")
            thread = serve(address, b"", received)
            inside(box, f"nc {address} {PORT} </tmp/data")
            thread.join(30)
            check_equal(hashlib.md5(b"".join(received)).hexdigest(), want, "what the guest sent")
        stop(box, net)


@claim("a server in the guest is reached from outside")
def server_inside(box):
    with Netns(box) as net:
        net.add(0)
        start(box, net, ["sh", "-c", f"mkdir /www; echo hello from inside >/www/index.html; httpd -f -p {PORT} -h /www"])
        wait_until(lambda: can_connect(f"{V4 % 0}.2"), "the server listens")
        with socket.create_connection((f"{V4 % 0}.2", PORT), timeout=60) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b""
            while data := s.recv(4096):
                text += data
        check_in(b"hello from inside", text, "answer")
        stop(box, net)


def can_connect(address):
    with socket.socket() as s:
        s.settimeout(30)
        return s.connect_ex((address, PORT)) == 0


@claim("several interfaces are several cards, each with its own network")
def several(box):
    with Netns(box) as net:
        for number in range(3):
            net.add(number)
        start(box, net)
        for number in range(3):
            check_in(MAC % number, inside(box, f"ip link show eth{number}"), f"hardware address of eth{number}")
            check(ping(f"{V4 % number}.2"), f"no answer through eth{number}")
        stop(box, net)


@claim("permanent neighbours are there, others are not")
def neighbours(box):
    with Netns(box) as net:
        net.add(0)
        net.ip(f"neigh add {V4 % 0}.77 lladdr 02:aa:00:00:00:77 dev eth0 nud permanent",
               f"neigh add {V4 % 0}.78 lladdr 02:aa:00:00:00:78 dev eth0 nud stale")
        start(box, net)
        table = inside(box, "ip neigh")
        check(re.search(rf"{V4 % 0}\.77 .*02:aa:00:00:00:77.*PERMANENT", table), f"neighbours: {table}")
        check("02:aa:00:00:00:78" not in table, f"neighbours: {table}")
        stop(box, net)


@claim("what the engine configures between create and start is there when the process starts")
def configured_before_start(box):
    with Netns(box) as net:
        pid = box.create(["sh", "-c", f"ip addr show dev eth0 && ip route && ping -c 1 -W 5 {V4 % 0}.1"],
                         linux__namespaces=net.namespaces(),
                         process__capabilities={"bounding": CAPS, "effective": CAPS, "permitted": CAPS})
        net.add(0)
        net.ip(f"route add default via {V4 % 0}.1")
        box.ok("start", "c1")
        check_equal(box.exit_of(pid), 0, "exit code")
        check_in(f"{V4 % 0}.2/24", box.output_of(), "address")
        check_in(f"default via {V4 % 0}.1", box.output_of(), "routes")
        stop(box, net)


@claim("the proxy's own namespace may be filled between create and start")
def own_namespace(box):
    pid = box.create(["sh", "-c", "ip addr show dev eth0"])
    sh(f"ip link add tvown type veth peer name eth0 netns {pid}")
    sh(f"nsenter --net=/proc/{pid}/ns/net sh -c 'ip addr add 10.8.0.2/24 dev eth0; ip link set eth0 up'")
    box.ok("start", "c1")
    check_equal(box.exit_of(pid), 0, "exit code")
    check_in("10.8.0.2/24", box.output_of(), "address")
    box.ok("delete", "c1")


@claim("networks are connected to and disconnected from a running container")
def live(box):
    with Netns(box) as net:
        net.add(0)
        start(box, net)
        for _ in range(2):
            net.add(1)
            # Until the guest has taken it over the host answers for the address.
            wait_until(lambda: "eth1" in inside(box, "ip link"), "the new card is in the guest")
            wait_until(lambda: ping(f"{V4 % 1}.2"), "the new card answers")
            check_in(MAC % 1, inside(box, "ip link show eth1"), "hardware address of the new card")
            net.remove(1)
            wait_until(lambda: "eth1" not in inside(box, "ip link"), "the card is gone from the guest")
        net.ip(f"addr add {V4 % 0}.3/24 dev eth0", "route add 10.99.0.0/16 dev eth0", "link set eth0 mtu 1300")
        wait_until(lambda: f"{V4 % 0}.3/" in inside(box, "ip addr"), "the new address")
        check(ping(f"{V4 % 0}.3"), "the new address does not answer")
        wait_until(lambda: "10.99.0.0/16" in inside(box, "ip route"), "the new route")
        wait_until(lambda: "mtu 1300" in inside(box, "ip link show eth0"), "the new MTU")
        check(ping(f"{V4 % 0}.2"), "the first address does not answer any more")
        stop(box, net)


@claim("an interface that is replaced by another of the same hardware address keeps its card")
def replaced(box):
    with Netns(box) as net:
        net.add(0)
        start(box, net)
        net.remove(0)
        net.add(0)
        wait_until(lambda: ping(f"{V4 % 0}.2"), "an answer through the new interface")
        stop(box, net)


@claim("containers of one network namespace share card and addresses; the last one gives them back")
def shared(box):
    with Netns(box) as net:
        net.add(0)
        start(box, net)
        start(box, net, name="c2")
        check_equal(inside(box, "ip addr", "c1"), inside(box, "ip addr", "c2"), "addresses")
        check_equal(sum("onggi" in line for line in net.run("ip -o link").splitlines()), 1, "taps")
        box.ok("delete", "--force", "c1")
        check(ping(f"{V4 % 0}.2"), "no answer after the first has gone")
        stop(box, net, "c2")
        # The namespace is the host's again.
        check(ping(f"{V4 % 0}.2"), "the host does not answer for its own address again")


@claim("a namespace with nothing but loopback gets no card, and loopback works")
def none(box):
    with Netns(box) as net:
        start(box, net)
        check_equal(re.findall(r"^\d+: (\S+?)[:@]", inside(box, "ip link"), re.M), ["lo"], "interfaces")
        inside(box, "ping -c 1 -W 5 127.0.0.1 && ping -c 1 -W 5 ::1")
        check_equal(net.remains(), [], "taps and queues in the namespace")
        stop(box, net)
    result = box.run_ok(["ip", "link"], name="c2")
    check_equal(re.findall(r"^\d+: (\S+?)[:@]", result.text, re.M), ["lo"], "interfaces in a namespace of its own")


@claim("what cannot be brought into the guest fails the start, names it, and ends the container; repaired, another one starts")
def refused(box):
    with Netns(box) as net:
        net.add(0)
        net.add(1)
        net.ip(f"link set eth1 address {MAC % 0}")
        box.create(["sh", "-c", "ip link"], linux__namespaces=net.namespaces())
        failed = box.command("start", "c1")
        check_equal(failed.code, 1, "exit code of start")
        check_in("network: look at the network namespace: interfaces 'eth0' and 'eth1' have the same hardware address",
                 failed.errors, "message")
        box.wait_status("stopped")
        net.ip(f"link set eth1 address {MAC % 1}")
        start(box, net, ["sh", "-c", "ip link"], name="c2")
        wait_until(lambda: "eth1" in box.output_of("c2"), "output")
        box.ok("delete", "--force", "c1")
        stop(box, net, "c2")


@claim("more interfaces than the machine has slots fail the start with that reason, and leave nothing")
def too_many(box):
    with Netns(box) as net:
        for number in range(9):
            net.add(number)
        box.create(SLEEP, linux__namespaces=net.namespaces())
        failed = box.command("start", "c1")
        check_equal(failed.code, 1, "exit code of start")
        check_in("slots of the virtual machine are taken", failed.errors, "message")
        stop(box, net)


def monitor_pid(box, name="c1"):
    with open(os.path.join(box.root, "containers", name, "state.json")) as f:
        sandbox = json.load(f)["sandbox"]
    with open(os.path.join(box.root, "sandboxes", sandbox, "state.json")) as f:
        return json.load(f)["monitor"]["pid"]


@claim("after a kill of the monitor delete gives the namespace back as it was")
def killed(box):
    with Netns(box) as net:
        net.add(0)
        start(box, net)
        os.kill(monitor_pid(box), signal.SIGKILL)
        wait_until(lambda: not any("onggi" in line for line in net.remains()), "the tap is gone with its holders")
        check(net.remains(), "the redirect should still be there, or this claim tells nothing")
        stop(box, net)
        check(ping(f"{V4 % 0}.2"), "the host does not answer for its own address again")


@claim("a new sandbox in the namespace of a killed one finds it clean")
def killed_and_again(box):
    with Netns(box) as net:
        net.add(0)
        start(box, net)
        os.kill(monitor_pid(box), signal.SIGKILL)
        wait_until(lambda: not any("onggi" in line for line in net.remains()), "the tap is gone with its holders")
        start(box, net, name="c2")
        check(ping(f"{V4 % 0}.2"), "no answer of the second guest")
        box.ok("delete", "--force", "c1")
        check(ping(f"{V4 % 0}.2"), "no answer of the second guest after the first was deleted")
        stop(box, net, "c2")


@claim("20 containers one after the other in one namespace leave nothing", slow=True)
def twenty(box):
    with Netns(box) as net:
        net.add(0)
        for i in range(20):
            result = box.run(["sh", "-c", f"ping -c 1 -W 5 {V4 % 0}.1"], name=f"c{i}", linux__namespaces=net.namespaces(),
                             process__capabilities={"bounding": CAPS, "effective": CAPS, "permitted": CAPS})
            check_equal(result.code, 0, f"exit code of run {i}: {result!r}")
            box.command("delete", f"c{i}")
            check_equal(net.remains(), [], f"taps and queues after run {i}")
