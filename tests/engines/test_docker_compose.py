# SPDX-License-Identifier: Apache-2.0
"""docker-compose up: services, order, environment and its precedence, volumes, logs."""
import json
import os

from cases import case, run
from docker import IMAGE
from harness import check, check_equal, check_in, wait_until

COMPOSE = "/usr/bin/docker-compose"
FILE = f"""version: "2.4"
services:
  env:
    image: {IMAGE}
    runtime: RUNTIME
    network_mode: none
    env_file: service.env
    environment:
      BOTH: environment
      SHELL_WINS: "${{SHELL_WINS}}"
      DOT_ENV: "${{DOT_ENV}}"
      DEFAULT: "${{UNSET:-default}}"
    command: ["sh", "-c", "echo $$BOTH $$FILE $$SHELL_WINS $$DOT_ENV $$DEFAULT"]
  store:
    image: {IMAGE}
    runtime: RUNTIME
    network_mode: none
    volumes: ["data:/data", "./host:/host:ro"]
    command: ["sh", "-c", "cp /host/file /data/copied; exec sleep 1000"]
    healthcheck:
      test: ["CMD", "test", "-f", "/data/copied"]
      interval: 300ms
    mem_limit: 64m
    user: "0:0"
  after:
    image: {IMAGE}
    runtime: RUNTIME
    network_mode: none
    depends_on:
      store: {{condition: service_healthy}}
    volumes: ["data:/data:ro"]
    command: ["cat", "/data/copied"]
volumes:
  data: {{}}
"""


@case("docker", "docker-compose")
def compose(t):
    t.path("docker-compose.yml", FILE.replace("RUNTIME", t.runtime))
    t.path(".env", "SHELL_WINS=dotenv\nDOT_ENV=dotenv\n")
    t.path("service.env", "BOTH=file\nFILE=file\n")
    os.mkdir(t.path("host"))
    t.path("host/file", "from the host\n")

    def call(*args):
        done = run([COMPOSE, "-p", "pots", *args], cwd=t.dir, env=dict(os.environ, SHELL_WINS="shell"))
        check_equal(done.code, 0, f"exit code of {args}: {done!r}")
        return done.text

    call("up", "-d")
    with t.line("environment: file < environment, .env < shell, defaults"):
        wait_until(lambda: "environment" in call("logs", "env"), "the service has written")
        check_in("environment file shell dotenv default\n", call("logs", "--no-color", "env"), "logs")
    with t.line("depends_on a healthy service; a volume of both, a bind mount"):
        wait_until(lambda: "from the host" in call("logs", "--no-color", "after"), "the dependent service has read")
    with t.line("each service has the runtime of its file"):
        for name in call("ps", "-q").split():
            check_equal(json.loads(t.out("inspect", name))[0]["HostConfig"]["Runtime"], t.runtime, name)
    with t.line("exec -T, top, stop, start, restart, ps"):
        check_equal(call("exec", "-T", "store", "cat", "/data/copied"), "from the host\n", "exec")
        check_in("sleep 1000", call("top", "store"), "top")
        call("restart", "-t", "0", "store")
        check_in("Up", call("ps", "store"), "ps")
    with t.line("run --rm: one-off command with another environment"):
        check_in("other", call("run", "--rm", "-e", "BOTH=other", "env", "sh", "-c", "echo $BOTH"), "run")
    with t.line("down -v leaves nothing"):
        call("down", "-v", "-t", "0")
        check_equal(t.out("ps", "-aq"), "", "containers")
        check("pots_data" not in t.out("volume", "ls", "-q"), "volume")
