/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail_root.h - a root file system that shows a jailed program the files it needs, and no others
 *
 * Shape:    an empty tmpfs with copies of the mounts that hold the places listed, all of it
 *           read-only, becomes the root of a mount namespace of its own; everything else is let go.
 * Process:  the child of jail_spawn, between fork and exec: system calls only, nothing is
 *           allocated.
 * Source:   open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2).
 */
#ifndef ONGGI_HYPERVISOR_JAIL_ROOT_H
#define ONGGI_HYPERVISOR_JAIL_ROOT_H

#include <stdbool.h>
#include <stddef.h>

#define JAIL_PLACES_MAX 24

enum jail_place_kind {
	JAIL_PLACE_FILE,   /* a file, or a folder with all below it: read-only, without devices and setuid */
	JAIL_PLACE_TOP,    /* an entry of the root itself, as JAIL_PLACE_FILE; a symbolic link stays one ("/lib") */
	JAIL_PLACE_DEVICE, /* a device node, which can be opened */
	JAIL_PLACE_PROC,   /* a procfs of the program's own PID namespace that shows processes and nothing else */
};

struct jail_place {
	/*
	 * Absolute; NULL: none. It is at the same path in the new root, unless a place before shows that path already.
	 * Symbolic links are followed.
	 */
	const char *path;
	enum jail_place_kind kind;
	bool optional; /* left out when it does not exist */
};

/*
 * Make that root of @places, in their order, and enter it. The caller is in a mount namespace of
 * its own (CLONE_NEWNS), for JAIL_PLACE_PROC in a PID namespace of its own, has CAP_SYS_ADMIN, and
 * ends if this fails. The process' umask is 0022 then.
 *
 * @ret_place  index of the place that could not be shown; @n: it was none of them
 *
 * Returns 0; -ENOENT a place is not there, -ENAMETOOLONG, -EROFS a place before it holds its path's
 * folder but not itself; errnos of the calls above.
 */
int jail_root_enter(const struct jail_place *places, size_t n, size_t *ret_place);

#endif
