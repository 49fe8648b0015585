# SPDX-License-Identifier: Apache-2.0
"""`run --rm` of true by real engines: what a person waits for."""
import docker
import podman
import stage

NETWORKS = {"no network": ("--network", "none"), "bridge": ()}
# runsc knows nothing of the machines' cgroups and has no network of its own without more privileges.
PODMAN_RUNSC = ("--runtime-flag=platform=ptrace", "--runtime-flag=network=none", "--runtime-flag=ignore-cgroups")
NATIVE = {"docker": "runc", "podman": "crun"}


def argv(engine, runtime, network):
    words = engine.argv(runtime, ("run", "--rm", *NETWORKS[network], engine_image(engine), "true"))
    if engine.name == "podman" and runtime == "runsc":
        words[1:1] = PODMAN_RUNSC
    return words


def engine_image(engine):
    return {"docker": docker.IMAGE, "podman": podman.IMAGE}[engine.name]


def runs(runtimes, rounds):
    """`docker run --rm` and `podman run --rm` of true in a busybox image, start of the command to its end."""
    samples, rows = stage.Samples(), []
    for engine in (docker.Docker, podman.Podman):
        engine.start()
        native = NATIVE[engine.name]
        wanted = [(runtime, network) for network in NETWORKS for runtime in (native, "runsc", "onggi")
                  if (runtime, network) != ("runsc", "bridge")]
        for round in range(-1, rounds):
            for runtime, network in wanted:
                seconds = stage.timed(stage.run, argv(engine, runtime, network))
                if round >= 0:
                    samples.add(f"{engine.name} {runtime} {network}", seconds)
        engine.stop()
        for runtime, network in wanted:
            name = f"{engine.name} {runtime} {network}"
            rows.append([engine.name, runtime, network, stage.ms(samples.median(name)), stage.ms(samples.spread(name)),
                         stage.times(samples.median(name), samples.median(f"{engine.name} {native} {network}"))])
    return samples, stage.table(["engine", "runtime", "network", "median", "middle half", "of runc or crun"], rows)
