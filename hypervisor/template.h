/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - the folder of saved machines that sandboxes go on from instead of booting
 *
 * Shape:    STORE/NAME/{template.json,memory,state,clones}, NAME made from the machine's
 *           description (vm_describe). A template appears whole, by rename, or not at all; whoever
 *           reads one checks all of it.
 * Rule:     a template makes a start faster, never makes it fail: every error here means "boot".
 * Trust:    the folder and every file belong to our own user and to nobody else (0700, 0400), or
 *           are not used. No workload has run in a saved machine, so a template holds no tenant's
 *           data.
 * Process:  monitor (reads), template maker (writes), command line (lists, removes).
 * Not here: saving and restoring (hypervisor.h), when one is made (shim/template_make.h).
 */
#ifndef ONGGI_HYPERVISOR_TEMPLATE_H
#define ONGGI_HYPERVISOR_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "hypervisor/hypervisor.h"

/* Bytes of a template's name with the NUL: 16 hexadecimal digits. */
#define TEMPLATE_NAME_BYTES 17
/* Templates that are kept; each takes some 27 MiB. */
#define TEMPLATE_COUNT_MAX 8
/* Largest description and state, bytes: a description has some 3 KiB, a state some 250 KiB. */
#define TEMPLATE_DESCRIPTION_MAX (64u << 10)
#define TEMPLATE_STATE_MAX (16u << 20)

struct template
{
	struct vm_saved saved; /* the descriptors belong to the template */
	char name[TEMPLATE_NAME_BYTES];
	int64_t created_s;     /* seconds since the epoch */
	uint64_t clones;       /* machines that were started from it */
	uint64_t stored_bytes; /* what memory and state take on their file system */
	int dirfd;
};

/*
 * Open (with @create: make) the folder of templates. -ENOENT; -EPERM it belongs to somebody else,
 * or others may enter; -ENOTDIR; others of mkdir(2), open(2). The caller closes *ret_fd.
 */
int template_store_open(const char *path, bool create, int *ret_fd, struct err *err);

/* Name of the template for a machine. */
void template_name(const char *description, char ret[TEMPLATE_NAME_BYTES]);

/*
 * Open the template for a machine, everything but the memory's content checked (memory_copy.h does
 * that).
 *
 * Returns 0; -ENOENT there is none; -EBADMSG it is damaged, incomplete or not ours (the message
 * says what): remove it; others of open(2).
 */
int template_open(int store, const char *description, struct template **ret, struct err *err);
/*
 * The same by name, for lists: of whatever machine it is. -EINVAL also for what is no name of a
 * template.
 */
int template_open_name(int store, const char *name, struct template **ret, struct err *err);
void template_close(struct template *t);
DEFINE_CLEANUP(struct template *, template_close);

/* Whether so many machines, or so much time, call for a new one; 0: never for that reason. */
bool template_is_old(const struct template *t, uint64_t clones_max, uint32_t hours_max);

/*
 * One more machine has been started from it. Errors are of no consequence: it is renewed later
 * then.
 */
void template_count_clone(const struct template *t);

/*
 * Remove one, by name; a machine that is just being started from it keeps its descriptors. None of
 * that name: 0. -EINVAL no name; others of unlinkat(2).
 */
int template_remove(int store, const char *name);

/*
 * Make room for one more: remove the oldest until fewer than TEMPLATE_COUNT_MAX are left. Their
 * sizes follow the limits of containers, which tenants choose, and those of a former QEMU or kernel
 * would stay for good.
 */
void template_make_room(int store);

/*
 * Names of all templates, as a NULL-terminated vector freed with json_free_strv. -ENOMEM; others of
 * readdir(3).
 */
int template_list(int store, char ***ret);

/* ---- making one ---- */

struct template_draft {
	int store, dirfd, lock;
	int memory_fd, state_fd; /* O_RDWR: memory_fd of the size asked for, state_fd empty */
	uint64_t memory_bytes;
	char name[TEMPLATE_NAME_BYTES];
};

/*
 * Begin to make the template for a machine. Remains of an earlier attempt are removed.
 *
 * Returns 0; -EWOULDBLOCK somebody else is making it; others of mkdir(2), open(2), ftruncate(2).
 */
int template_begin(int store, const char *description, uint64_t memory_bytes,
		   struct template_draft **ret, struct err *err);
/*
 * Both files are written: publish it in place of an older one. Frees the draft in any case.
 * Errnos of write(2), fsync(2), rename(2).
 */
int template_commit(struct template_draft *draft, const char *description, struct err *err);
/* Remove what was begun. NULL allowed. */
void template_abandon(struct template_draft *draft);
DEFINE_CLEANUP(struct template_draft *, template_abandon);

#endif
