/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountns.h - a container's mounts stay until nothing is under way in them
 *
 * A mount namespace goes with its last process, and takes the superblocks of the container's shares along. A program that
 * ends while a read-ahead is on its way has the end of its file sent when that is answered, and the kernel (6.1) holds
 * the inode until the file server has answered that too: if this comes after the superblock's end, it is a "busy
 * inode", and with our hardening a panic. So the agent holds the namespace, and lets it go when the server has nothing
 * left to answer.
 */
#ifndef ONGGI_AGENT_MOUNTNS_H
#define ONGGI_AGENT_MOUNTNS_H

#include <sys/types.h>

/* Hold @pid's mount namespace: a descriptor, or a negative errno when it has ended already. */
int mountns_hold(pid_t pid);
/*
 * Let it go, with all processes in it dead: waits for the server of @share, twice, because the answer to a read-ahead
 * may have the end of its file sent; what is mounted is unmounted when this returns. Closes *fd; nothing when it is -1.
 */
void mountns_let_go(int *fd, const char *share);

#endif
