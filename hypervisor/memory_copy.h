/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_copy.h - a copy of a saved guest's memory, made beside everything else
 *
 * Shape:    a child process copies what is not zero from the master into a new memfd and sums it up
 *           meanwhile; it dies with its parent. No page is shared between master and copy, so no
 *           tenant can time another's.
 * Process:  the sandbox monitor and the template maker; loop thread only.
 * Source:   memfd_create(2), lseek(2) (SEEK_DATA), fallocate(2) (FALLOC_FL_PUNCH_HOLE).
 * Not here: where masters are kept (template.h).
 */
#ifndef ONGGI_HYPERVISOR_MEMORY_COPY_H
#define ONGGI_HYPERVISOR_MEMORY_COPY_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

/* Unit of what is left out because it is zero, bytes; the page size of the guests. */
#define MEMORY_COPY_PAGE 4096u

struct memory_copy;

/*
 * 0; -EBADMSG it is not what was summed up when it was saved; -EIO reading or writing failed, or no
 * memory.
 */
typedef void (*memory_copy_done_fn)(int code, void *userdata);

/*
 * Begin to copy.
 *
 * @from      the master, O_RDONLY, exactly @bytes long; borrowed for the call
 * @bytes     a multiple of MEMORY_COPY_PAGE
 * @checksum  memory_copy_checksum of it
 * @ret_fd    the copy, O_RDWR, of full length at once and with full content once @done has said 0;
 *            the caller closes it
 *
 * Returns 0; -EBADMSG the master is not @bytes long; errnos of memfd_create(2), fork(2).
 */
int memory_copy_start(struct loop *loop, int from, uint64_t bytes, uint64_t checksum,
		      memory_copy_done_fn done, void *userdata, struct memory_copy **ret,
		      int *ret_fd, struct err *err);
/* Ends the child if it is still at work; @done does not run then. NULL allowed. */
void memory_copy_destroy(struct memory_copy *copy);
DEFINE_CLEANUP(struct memory_copy *, memory_copy_destroy);

/*
 * Prepare a master: give pages that are all zero back to the file system, and sum up the others.
 * Blocks for as long as it takes to read @fd once (O_RDWR, @bytes long).
 *
 * Returns 0 or errnos of mmap(2), lseek(2).
 */
int memory_copy_seal(int fd, uint64_t bytes, uint64_t *ret_checksum);

#endif
