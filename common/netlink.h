/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netlink.h - a small rtnetlink client
 *
 * Shape:    messages of a bounded size in the caller's memory, filled by appending attributes; one
 *           request under way, answered before the call returns: the kernel works it off inside
 *           send(2), so nothing here waits for anybody.
 * Peer:     the kernel; what another process sends to the socket is dropped. Lengths are checked
 *           all the same.
 * Process:  host and guest. The socket belongs to the network namespace that the thread was in
 *           when it was opened, wherever the thread goes later.
 * Memory:   the receive buffer is a mapping of its own that goes with netlink_close.
 * Order:    netlink_open -> (netlink_message_init -> netlink_put… -> netlink_request)* -> close.
 * Source:   RFC 3549; Linux include/uapi/linux/{netlink,rtnetlink}.h;
 *           Documentation/userspace-api/netlink/intro.rst.
 */
#ifndef ONGGI_COMMON_NETLINK_H
#define ONGGI_COMMON_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

/* Bytes of the largest message that can be built. */
#define NETLINK_MESSAGE_MAX 1024
/* Bytes of the largest datagram that can be received. */
#define NETLINK_RECEIVE_MAX 32768

/* ---- building ---------------------------------------------------------------------------------- */

/* A request under construction. An attribute that does not fit makes netlink_request fail. */
struct netlink_message {
	size_t len;
	int error; /* 0, or -EMSGSIZE since something did not fit */
	_Alignas(NLMSG_ALIGNTO) unsigned char data[NETLINK_MESSAGE_MAX];
};

/*
 * Begin a message.
 *
 * @type    RTM_*
 * @flags   NLM_F_* beside NLM_F_REQUEST and NLM_F_ACK, which are always set; NLM_F_DUMP to list
 * @header  the fixed part (struct ifinfomsg, rtmsg, tcmsg, …) of @header_len bytes
 */
void netlink_message_init(struct netlink_message *m, uint16_t type, uint16_t flags,
			  const void *header, size_t header_len);

/* Append an attribute; @data may be NULL when @len is 0 (a flag). */
void netlink_put(struct netlink_message *m, uint16_t attr, const void *data, size_t len);
void netlink_put_u8(struct netlink_message *m, uint16_t attr, uint8_t value);
void netlink_put_u32(struct netlink_message *m, uint16_t attr, uint32_t value);
/* With its NUL. */
void netlink_put_string(struct netlink_message *m, uint16_t attr, const char *text);

/* Open a nested attribute; what is put until netlink_nest_end with the returned mark is inside. */
size_t netlink_nest_begin(struct netlink_message *m, uint16_t attr);
void netlink_nest_end(struct netlink_message *m, size_t mark);

/* ---- asking ------------------------------------------------------------------------------------ */

struct netlink {
	int fd;
	uint32_t sequence;
	unsigned char *buffer; /* of NETLINK_RECEIVE_MAX bytes, a mapping */
};

#define NETLINK_INIT { .fd = -EBADF, .buffer = NULL }

/*
 * Open a socket in the calling thread's network namespace.
 *
 * @groups  multicast groups to listen to, a mask of RTMGRP_*; 0: none. For netlink_read_events; a
 *          socket with groups is not meant for requests.
 *
 * Returns 0 or a negative errno; netlink_close may be called in either case.
 */
int netlink_open(struct netlink *nl, uint32_t groups, struct err *err);
void netlink_close(struct netlink *nl);

/*
 * Called with each message of an answer or an event. The message is in the receive buffer: it is
 * gone when the function returns. A negative return value ends the call that delivers it, and
 * becomes its result; a request's remaining messages are read and dropped.
 */
typedef int (*netlink_fn)(const struct nlmsghdr *message, void *userdata);

/*
 * Send @m and read the answer to its end.
 *
 * @fn  takes each message that is not the acknowledgement: what a "get" found, each entry of a
 *      dump. NULL: dropped.
 *
 * Returns 0; the errno that the kernel answered, with the kernel's own words (extended ack) in
 * @err where it gave some; -EMSGSIZE when @m or an answer is too large; -EAGAIN when what was
 * dumped changed meanwhile (all of it has been given to @fn: begin anew); what @fn returned;
 * -EBADMSG for an answer that makes no sense.
 */
int netlink_request(struct netlink *nl, struct netlink_message *m, netlink_fn fn, void *userdata,
		    struct err *err);

/*
 * Read, without waiting, every event that is there.
 *
 * Returns 0 when nothing is left; -ENOBUFS when events were lost: look at everything anew; what
 * @fn returned; -EBADMSG.
 */
int netlink_read_events(struct netlink *nl, netlink_fn fn, void *userdata);

static inline void netlink_close_p(struct netlink *nl)
{
	netlink_close(nl);
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* The fixed part of a message, or NULL when it is shorter than @len bytes. */
const void *netlink_header(const struct nlmsghdr *message, size_t len);

/*
 * Sort attributes by type: @table[T] becomes the last one of type T, or NULL; 0 <= T <= @max, so
 * @table has @max + 1 entries. Types above are skipped.
 *
 * netlink_parse          those of a message, behind its fixed part of @header_len bytes
 * netlink_parse_nested   those in an attribute
 *
 * Returns 0, or -EBADMSG when a length leads out of the message.
 */
int netlink_parse(const struct nlmsghdr *message, size_t header_len, const struct nlattr **table,
		  size_t max);
int netlink_parse_nested(const struct nlattr *attr, const struct nlattr **table, size_t max);

/* What an attribute holds, and how many bytes of it. NULL and 0 for NULL. */
const void *netlink_data(const struct nlattr *attr);
size_t netlink_len(const struct nlattr *attr);

/* The value of an attribute; @missing when it is NULL or too short. */
uint32_t netlink_u32(const struct nlattr *attr, uint32_t missing);
/* A text, NULL when the attribute is NULL or has no terminating NUL. */
const char *netlink_string(const struct nlattr *attr);

/*
 * Visit the attributes in @attr (a list of nested ones, as multipath routes and vlan tables are).
 * A negative return value of @fn ends it. Returns 0, -EBADMSG, or what @fn returned.
 */
typedef int (*netlink_attr_fn)(const struct nlattr *attr, void *userdata);
int netlink_for_each_nested(const struct nlattr *attr, netlink_attr_fn fn, void *userdata);

#endif
