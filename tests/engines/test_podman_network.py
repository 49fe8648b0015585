# SPDX-License-Identifier: Apache-2.0
"""podman: networks, published ports, names, nginx under load."""
import re

from cases import case
from harness import check, check_equal, check_in, wait_until
from podman import IMAGE, NGINX
from web import PAGE, SERVE, fetch, load, served


def answer(t, name, host, want, limit=120):
    """Container @name gets @want from @host."""
    wait_until(lambda: t.call("exec", name, "timeout", "3", "wget", "-qO-", f"http://{host}/").text == want,
               f"'{host}' answers '{name}'", limit)


@case("podman", "network: the default bridge")
def bridge(t):
    t.ok("run", "-d", "--name", "jar", "--hostname", "jar", "-p", "8080:80", "-p", "127.0.0.1:8081:80/tcp", IMAGE, *SERVE)
    def of(what):
        return t.out("inspect", "-f", "{{.NetworkSettings.%s}}" % what, "jar")
    inside = t.out("exec", "jar", "sh", "-c",
                   "ip -4 -o addr show eth0; ip route; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu")
    with t.line("eth0 has the address, MAC, MTU and route that podman gave it"):
        check_in(f"inet {of('IPAddress')}/16 ", inside, "addresses")
        check_in(of("MacAddress") + "\n1500", inside, "MAC and MTU")
        check_in(f"default via {of('Gateway')} dev eth0", inside, "routes")
    with t.line("-p: published ports answer, at the addresses they were published for"):
        served("http://127.0.0.1:8080/", "jar\n")
        served("http://127.0.0.1:8081/", "jar\n")
        check_equal(fetch(f"http://{of('Gateway')}:8080/"), "jar\n", "by the bridge's address")
        check_equal(fetch(f"http://{of('Gateway')}:8081/"), "", "a port of 127.0.0.1 alone")
    with t.line("port"):
        check_in("80/tcp -> 0.0.0.0:8080", t.out("port", "jar"), "port")
    with t.line("a second container reaches the first by its address; ping"):
        out = t.out("run", "--rm", "--cap-add", "NET_RAW", IMAGE, "sh", "-c",
                    f"wget -qO- http://{of('IPAddress')}/; ping -c 2 -q {of('IPAddress')}")
        check_equal(out.split("\n")[0], "jar", "served")
        check_in("2 packets received, 0% packet loss", out, "ping")
    with t.line("--network container: has the same card and loopback"):
        out = t.out("run", "--rm", "--network", "container:jar", IMAGE, "sh", "-c",
                    "wget -qO- http://127.0.0.1/; ip -4 -o addr show eth0")
        check_equal(out.split("\n")[0], "jar", "served")
        check_in(of("IPAddress"), out, "address")
    with t.line("restart: the card comes back, ports too"):
        t.ok("restart", "-t", "0", "jar")
        served("http://127.0.0.1:8080/", "jar\n")
    with t.line("rm takes the ports away"):
        t.ok("rm", "-f", "-t", "0", "jar")
        check_equal(fetch("http://127.0.0.1:8080/"), "", "nobody there")


@case("podman", "network: of the user's own, names")
def named(t):
    t.ok("network", "create", "--subnet", "10.77.0.0/24", "clay")
    t.ok("network", "create", "--subnet", "10.78.0.0/24", "kiln")
    t.ok("run", "-d", "--name", "one", "--hostname", "one", "--network", "clay:ip=10.77.0.77,alias=alias", IMAGE, *SERVE)
    t.ok("run", "-d", "--name", "two", "--hostname", "two", "--network", "clay", IMAGE, *SERVE)
    with t.line("network create, a fixed address, an alias"):
        check_in("10.77.0.77/24", t.out("exec", "one", "ip", "addr", "show", "eth0"), "address")
        answer(t, "two", "alias", "one\n")
    with t.line("two containers find each other by name"):
        answer(t, "two", "one", "one\n")
        answer(t, "one", "two", "two\n")
    with t.line("network connect before start: two cards"):
        t.ok("create", "--name", "three", "--network", "clay", IMAGE, *SERVE)
        t.ok("network", "connect", "kiln", "three")
        t.ok("start", "three")
        cards = re.findall(r"inet (\S+?)\.\d+/", t.out("exec", "three", "ip", "-4", "addr"))
        check_equal(sorted(cards), ["10.77.0", "10.78.0", "127.0.0"], "networks")
        answer(t, "three", "one", "one\n")
    with t.line("other networks are out of reach"):
        t.ok("run", "-d", "--name", "four", "--network", "kiln", IMAGE, *SERVE)
        check(t.call("exec", "four", "timeout", "2", "wget", "-qO-", "http://one/").code != 0, "reached by name")
    with t.line("--dns, --add-host"):
        out = t.out("run", "--rm", "--network", "none", "--add-host", "far:192.0.2.7", IMAGE, "cat", "/etc/hosts")
        check_in("192.0.2.7\tfar", out, "hosts")
        out = t.out("run", "--rm", "--dns", "192.0.2.9", IMAGE, "cat", "/etc/resolv.conf")
        check_in("192.0.2.9", out, "resolv.conf")


@case("podman", "network: nginx under load")
def nginx(t):
    t.ok("run", "-d", "--name", "web", "-p", "8090:80", NGINX)
    served("http://127.0.0.1:8090/", PAGE)
    with t.line("wrk through the published port: no error"):
        print(f"# {t.runtime}: {load('http://127.0.0.1:8090/'):.0f} requests/s", flush=True)
    with t.line("its log has come out"):
        check_in("GET / HTTP", t.out("exec", "web", "tail", "-n", "1", "/var/log/nginx/access.log"), "access log")


@case("podman", "network: the host's")
def host(t):
    done = t.call("run", "--rm", "--network", "host", IMAGE, "true")
    with t.line("--network host is refused, or there with the reference"):
        check_equal(done.code != 0, t.ours, f"refused: {done!r}")
        if t.ours:
            check_in("network", done.errors, "message")
