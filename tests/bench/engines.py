# SPDX-License-Identifier: Apache-2.0
"""`run --rm` of true by real engines: what a person waits for."""
import os
import shutil

import docker
import podman
import stage
import world

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


COPY_BYTES = 100_000_000
COPY_FILES = 500


def sources(place):
    """A large file and a tree of small ones."""
    with open(os.path.join(place, "large"), "wb") as f:
        f.write(os.urandom(COPY_BYTES))
    os.mkdir(os.path.join(place, "tree"))
    for n in range(COPY_FILES):
        with open(os.path.join(place, "tree", f"file{n}"), "wb") as f:
            f.write(os.urandom(2000))
    return ("large", "tree")


def copies(runtimes, rounds):
    """`podman cp` of a file of 100 MB and of a tree of 500 files of 2 kB, into a running container and out of it."""
    samples, rows, names = stage.Samples(), [], ("crun", "onggi")
    place = os.path.join(world.PLACE, "copies")
    os.mkdir(place)
    what = sources(place)
    back = os.path.join(place, "back")
    podman.Podman.start()
    for runtime in names:
        stage.run(podman.Podman.argv(runtime, ("run", "-d", "--name", runtime, "--network", "none", podman.IMAGE, "sleep", "100000")))
    for round in range(-1, rounds):
        for runtime in names:
            for item in what:
                path = os.path.join(place, item)
                for way, words in (("in", (path, f"{runtime}:/tmp/")), ("out", (f"{runtime}:/tmp/{item}", back))):
                    seconds = stage.timed(stage.run, ["podman", "cp", *words])
                    if round >= 0:
                        samples.add(f"{item} {way} {runtime}", seconds)
                shutil.rmtree(back) if os.path.isdir(back) else os.unlink(back)
                stage.run(podman.Podman.argv(runtime, ("exec", runtime, "rm", "-r", f"/tmp/{item}")))
    podman.Podman.clean("onggi")
    podman.Podman.stop()
    for item in what:
        for way in ("in", "out"):
            crun, onggi = (samples.median(f"{item} {way} {n}") for n in names)
            rows.append([item, way, stage.ms(crun), stage.ms(onggi), stage.times(onggi, crun)])
    return samples, stage.table(["what", "way", "crun", "onggi", "of crun"], rows)
