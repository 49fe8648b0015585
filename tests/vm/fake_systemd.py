#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for systemd's manager on a private bus: fake_systemd.py BUS-ADDRESS LOG

Takes StartTransientUnit, StopUnit, ResetFailedUnit and SetUnitProperties, writes each as a line of JSON to LOG and tells
of the end of the job, "done" or, for a unit whose name contains "fails", "failed". A unit whose name contains
"refused" is refused.
"""
import json
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

MANAGER = "org.freedesktop.systemd1.Manager"


def plain(value):
    if isinstance(value, dbus.Boolean):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return str(value)


class Refused(dbus.DBusException):
    _dbus_error_name = "org.freedesktop.systemd1.UnitExists"


class Manager(dbus.service.Object):
    def __init__(self, bus, log):
        super().__init__(bus, "/org/freedesktop/systemd1")
        self.log, self.jobs = log, 0

    def note(self, call, **facts):
        self.log.write(json.dumps(dict(facts, call=call)) + "\n")
        self.log.flush()

    @dbus.service.method(MANAGER, in_signature="ssa(sv)a(sa(sv))", out_signature="o")
    def StartTransientUnit(self, name, mode, properties, aux):
        self.note("start", unit=str(name), mode=str(mode), properties={str(k): plain(v) for k, v in properties})
        if "refused" in name:
            raise Refused(f"Unit {name} already exists.")
        self.jobs += 1
        number, path = self.jobs, f"/org/freedesktop/systemd1/job/{self.jobs}"
        GLib.idle_add(lambda: self.JobRemoved(number, path, name, "failed" if "fails" in name else "done"))
        return path

    @dbus.service.method(MANAGER, in_signature="ss", out_signature="o")
    def StopUnit(self, name, mode):
        self.note("stop", unit=str(name), mode=str(mode))
        return "/org/freedesktop/systemd1/job/0"

    @dbus.service.method(MANAGER, in_signature="s", out_signature="")
    def ResetFailedUnit(self, name):
        self.note("reset", unit=str(name))

    @dbus.service.method(MANAGER, in_signature="sba(sv)", out_signature="")
    def SetUnitProperties(self, name, runtime, properties):
        self.note("set", unit=str(name), properties={str(k): plain(v) for k, v in properties})

    @dbus.service.signal(MANAGER, signature="uoss")
    def JobRemoved(self, number, job, unit, result):
        pass


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(sys.argv[1])
    with open(sys.argv[2], "w") as log:
        manager = Manager(bus, log)
        name = dbus.service.BusName("org.freedesktop.systemd1", bus)
        manager.note("ready")
        GLib.MainLoop().run()
        del name


main()
