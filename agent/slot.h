/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot.h - the PCI slots behind the machine's ports, from which the host takes devices out again
 *
 * Source:   Linux drivers/pci/hotplug/pci_hotplug_core.c (the file "power" of a slot).
 */
#ifndef ONGGI_AGENT_SLOT_H
#define ONGGI_AGENT_SLOT_H

/*
 * Switch off the slot that a virtio device sits in, for the host asks for the device next: a kernel
 * that is asked by the slot's button waits five seconds for somebody to change their mind.
 *
 * @link  of sysfs that leads to a part of the device: "/sys/class/net/eth0", "/sys/block/vda"
 *
 * Returns 0; -ENODEV it is in no slot that can be switched; another errno.
 */
int slot_switch_off(const char *link);

#endif
