/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - what system calls a program in the jail may make
 *
 * The programs are made of the lists beside this file while onggi is built (compile.c), so that the monitor needs neither
 * libseccomp nor the time to compile. They hold for the program's whole life, and for all its threads.
 *
 * Source: seccomp(2), SECCOMP_SET_MODE_FILTER.
 */
#ifndef ONGGI_HYPERVISOR_FILTER_FILTER_H
#define ONGGI_HYPERVISOR_FILTER_FILTER_H

#include <linux/filter.h>

struct filter {
	const struct sock_filter *insns;
	unsigned short n;
};

extern const struct filter filter_qemu;        /* qemu.list */
extern const struct filter filter_file_server; /* file_server.list */

#endif
