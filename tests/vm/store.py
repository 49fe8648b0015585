# SPDX-License-Identifier: Apache-2.0
"""A folder of templates as seen from outside: what is in it, how often it was used, who is making one."""
import os
import re

from harness import wait_until


def fresh_store(box, **settings):
    """A folder of templates of this claim alone."""
    box.write_config(**{"template": "on", "template_dir": os.path.join(box.dir, "templates"), **settings})
    return box.settings["template_dir"]


def names(store):
    """Finished templates."""
    try:
        return sorted(n for n in os.listdir(store) if re.fullmatch("[0-9a-f]{16}", n))
    except FileNotFoundError:
        return []


def unfinished(store):
    return [n for n in os.listdir(store) if n.endswith(".new")] if os.path.isdir(store) else []


def clones(store):
    """How many machines were started from the one template that is there."""
    name, = names(store)
    try:
        return os.stat(os.path.join(store, name, "clones")).st_size
    except FileNotFoundError:
        return 0


def made(store):
    wait_until(lambda: names(store) and not unfinished(store), "a template is there")
    wait_until(lambda: not makers(), "the template maker has ended")


def makers():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                if "\0template-maker\0" in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found
