/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A request carries a sequence number; answers with another one are what an earlier request left
 * behind and are dropped. With NLM_F_ACK every request but a dump ends with NLMSG_ERROR (code 0:
 * done), a dump with NLMSG_DONE or, refused, with NLMSG_ERROR. rtnetlink does its work inside
 * send(2) and refills a dump inside recv(2), so a blocking recv finds either an answer or an error
 * of the socket (ENOBUFS when the answer could not be queued): it cannot wait for ever.
 */
#include "common/netlink.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Bytes of the kernel's extended acknowledgement that are kept; it is text for people. */
#define EXTACK_TEXT_MAX 256

/* ---- building ---------------------------------------------------------------------------------- */

/* Room for @len bytes at the end of the message, zeroed up to the alignment; NULL when full. */
static unsigned char *append(struct netlink_message *m, size_t len)
{
	unsigned char *p = m->data + m->len;

	if (m->error)
		return NULL;
	if (len > sizeof(m->data) || NLMSG_ALIGN(len) > sizeof(m->data) - m->len) {
		m->error = -EMSGSIZE;
		return NULL;
	}
	memset(p, 0, NLMSG_ALIGN(len));
	m->len += NLMSG_ALIGN(len);
	return p;
}

void netlink_message_init(struct netlink_message *m, uint16_t type, uint16_t flags,
			  const void *header, size_t header_len)
{
	struct nlmsghdr *h;
	unsigned char *p;

	m->len = 0;
	m->error = 0;
	h = (struct nlmsghdr *)append(m, NLMSG_HDRLEN);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	p = append(m, header_len);
	if (p)
		memcpy(p, header, header_len);
}

void netlink_put(struct netlink_message *m, uint16_t attr, const void *data, size_t len)
{
	struct nlattr a = { .nla_type = attr };
	unsigned char *p;

	if (len > sizeof(m->data)) {
		m->error = -EMSGSIZE;
		return;
	}
	a.nla_len = (uint16_t)(NLA_HDRLEN + len);
	p = append(m, a.nla_len);
	if (!p)
		return;
	memcpy(p, &a, sizeof(a));
	if (len)
		memcpy(p + NLA_HDRLEN, data, len);
}

void netlink_put_u8(struct netlink_message *m, uint16_t attr, uint8_t value)
{
	netlink_put(m, attr, &value, sizeof(value));
}

void netlink_put_u32(struct netlink_message *m, uint16_t attr, uint32_t value)
{
	netlink_put(m, attr, &value, sizeof(value));
}

void netlink_put_string(struct netlink_message *m, uint16_t attr, const char *text)
{
	netlink_put(m, attr, text, strlen(text) + 1);
}

size_t netlink_nest_begin(struct netlink_message *m, uint16_t attr)
{
	size_t mark = m->len;

	netlink_put(m, attr | NLA_F_NESTED, NULL, 0);
	return mark;
}

void netlink_nest_end(struct netlink_message *m, size_t mark)
{
	struct nlattr *a = (struct nlattr *)(m->data + mark);

	if (!m->error)
		a->nla_len = (uint16_t)(m->len - mark);
}

/* ---- the socket -------------------------------------------------------------------------------- */

int netlink_open(struct netlink *nl, uint32_t groups, struct err *err)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	const int on = 1;
	void *buffer;

	*nl = (struct netlink)NETLINK_INIT;
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (nl->fd < 0)
		return err_set_errno(err, -errno, "open a netlink socket");
	/* What an older kernel does not know is missed only in the words of errors. */
	(void)setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(nl->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (bind(nl->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set_errno(err, -errno, "bind a netlink socket");
	buffer = mmap(NULL, NETLINK_RECEIVE_MAX, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		return err_set_errno(err, -errno, "map a netlink buffer");
	nl->buffer = buffer;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->buffer)
		munmap(nl->buffer, NETLINK_RECEIVE_MAX);
	nl->buffer = NULL;
	cleanup_close_p(&nl->fd);
}

/* One datagram of the kernel. Returns its length, or a negative errno. */
static ssize_t receive(struct netlink *nl, int flags)
{
	struct sockaddr_nl from;
	socklen_t from_len;
	ssize_t n;

	do {
		from_len = sizeof(from);
		n = recvfrom(nl->fd, nl->buffer, NETLINK_RECEIVE_MAX, flags | MSG_TRUNC,
			     (struct sockaddr *)&from, &from_len);
		if (n > NETLINK_RECEIVE_MAX)
			return -EMSGSIZE;
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0));
	return n < 0 ? -errno : n;
}

/* ---- asking ------------------------------------------------------------------------------------ */

struct answer {
	uint32_t sequence;
	netlink_fn fn;
	void *userdata;
	struct err *err;
	int result;       /* the first failure of fn */
	bool interrupted; /* the dump is not of one moment */
	bool finished;
};

/* What NLMSG_ERROR and NLMSG_DONE say: the code, and words of the kernel behind it. */
static int read_verdict(const struct nlmsghdr *message, struct err *err)
{
	const struct nlattr *attrs[NLMSGERR_ATTR_MSG + 1] = { NULL };
	bool is_error = message->nlmsg_type == NLMSG_ERROR;
	const int *code = netlink_header(message, sizeof(*code));
	size_t skip = is_error ? sizeof(struct nlmsgerr) : sizeof(*code);
	const struct nlmsgerr *e = netlink_header(message, sizeof(*e));
	const char *text = NULL;

	if (!code || (is_error && !e))
		return err_set(err, -EBADMSG, "netlink: answer is too short");
	if (*code >= 0)
		return 0;
	/* Without NLM_F_CAPPED the request is repeated between code and words. */
	if (is_error && !(message->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len > NLMSG_HDRLEN)
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - NLMSG_HDRLEN;
	if ((message->nlmsg_flags & NLM_F_ACK_TLVS) &&
	    netlink_parse(message, skip, attrs, NLMSGERR_ATTR_MSG) == 0)
		text = netlink_string(attrs[NLMSGERR_ATTR_MSG]);
	if (text)
		return err_set(err, *code, "%s (%.*s)", strerror(-*code), EXTACK_TEXT_MAX, text);
	return err_set(err, *code, "%s", strerror(-*code));
}

static int take_message(struct answer *a, const struct nlmsghdr *message)
{
	int r;

	if (message->nlmsg_seq != a->sequence)
		return 0;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
		a->finished = true;
		return read_verdict(message, a->err);
	}
	if (message->nlmsg_type < NLMSG_MIN_TYPE || !a->fn || a->result < 0)
		return 0;
	r = a->fn(message, a->userdata);
	if (r < 0)
		a->result = r;
	return 0;
}

/* Give each message of the datagram to @take; -EBADMSG where a length does not fit. */
static int split(const unsigned char *data, size_t len,
		 int (*take)(struct answer *a, const struct nlmsghdr *message), struct answer *a)
{
	size_t offset = 0, step;
	int r;

	while (len - offset >= NLMSG_HDRLEN) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)(data + offset);

		if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > len - offset)
			return -EBADMSG;
		r = take(a, h);
		if (r < 0 || a->finished)
			return r;
		step = NLMSG_ALIGN(h->nlmsg_len);
		offset += step < len - offset ? step : len - offset;
	}
	return offset == len ? 0 : -EBADMSG;
}

int netlink_request(struct netlink *nl, struct netlink_message *m, netlink_fn fn, void *userdata,
		    struct err *err)
{
	struct nlmsghdr *h = (struct nlmsghdr *)m->data;
	struct answer a = { .fn = fn, .userdata = userdata, .err = err };
	struct err said = ERR_INIT;
	ssize_t n;
	int r;

	if (m->error)
		return err_set(err, m->error, "netlink: request exceeds %d bytes", NETLINK_MESSAGE_MAX);
	h->nlmsg_len = (uint32_t)m->len;
	h->nlmsg_seq = a.sequence = ++nl->sequence;
	a.err = &said;
	do {
		n = send(nl->fd, m->data, m->len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(err, -errno, "netlink: send");
	while (!a.finished) {
		n = receive(nl, 0);
		if (n < 0)
			return err_set_errno(err, (int)n, "netlink: receive");
		r = split(nl->buffer, (size_t)n, take_message, &a);
		if (r < 0 && a.finished)
			return err_set(err, r, "%s", said.text);
		if (r < 0)
			return err_set(err, r, "netlink: malformed answer");
	}
	if (a.result < 0)
		return a.result;
	if (a.interrupted)
		return err_set(err, -EAGAIN, "netlink: changed while it was read");
	return 0;
}

static int take_event(struct answer *a, const struct nlmsghdr *message)
{
	if (message->nlmsg_type < NLMSG_MIN_TYPE)
		return 0;
	a->result = a->fn(message, a->userdata);
	return a->result < 0 ? a->result : 0;
}

int netlink_read_events(struct netlink *nl, netlink_fn fn, void *userdata)
{
	struct answer a = { .fn = fn, .userdata = userdata };
	ssize_t n;
	int r;

	for (;;) {
		n = receive(nl, MSG_DONTWAIT);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		r = split(nl->buffer, (size_t)n, take_event, &a);
		if (r < 0)
			return r;
	}
}

/* ---- reading ----------------------------------------------------------------------------------- */

const void *netlink_header(const struct nlmsghdr *message, size_t len)
{
	if (message->nlmsg_len < NLMSG_HDRLEN || message->nlmsg_len - NLMSG_HDRLEN < len)
		return NULL;
	return (const unsigned char *)message + NLMSG_HDRLEN;
}

static int for_each(const unsigned char *data, size_t len, netlink_attr_fn fn, void *userdata)
{
	size_t offset = 0, step;
	int r;

	while (len - offset >= NLA_HDRLEN) {
		const struct nlattr *a = (const struct nlattr *)(data + offset);

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len - offset)
			return -EBADMSG;
		r = fn(a, userdata);
		if (r < 0)
			return r;
		step = NLA_ALIGN(a->nla_len);
		offset += step < len - offset ? step : len - offset;
	}
	return offset == len ? 0 : -EBADMSG;
}

struct table {
	const struct nlattr **entries;
	size_t max;
};

static int enter(const struct nlattr *attr, void *userdata)
{
	struct table *t = userdata;
	size_t type = attr->nla_type & NLA_TYPE_MASK;

	if (type <= t->max)
		t->entries[type] = attr;
	return 0;
}

int netlink_parse(const struct nlmsghdr *message, size_t header_len, const struct nlattr **table,
		  size_t max)
{
	struct table t = { table, max };
	size_t skip = NLMSG_ALIGN(header_len);

	memset(table, 0, (max + 1) * sizeof(*table));
	if (!netlink_header(message, header_len))
		return -EBADMSG;
	if (message->nlmsg_len - NLMSG_HDRLEN <= skip)
		return 0;
	return for_each((const unsigned char *)message + NLMSG_HDRLEN + skip,
			message->nlmsg_len - NLMSG_HDRLEN - skip, enter, &t);
}

int netlink_parse_nested(const struct nlattr *attr, const struct nlattr **table, size_t max)
{
	struct table t = { table, max };

	memset(table, 0, (max + 1) * sizeof(*table));
	return netlink_for_each_nested(attr, enter, &t);
}

int netlink_for_each_nested(const struct nlattr *attr, netlink_attr_fn fn, void *userdata)
{
	return attr ? for_each(netlink_data(attr), netlink_len(attr), fn, userdata) : 0;
}

const void *netlink_data(const struct nlattr *attr)
{
	return attr ? (const unsigned char *)attr + NLA_HDRLEN : NULL;
}

size_t netlink_len(const struct nlattr *attr)
{
	return attr ? (size_t)attr->nla_len - NLA_HDRLEN : 0;
}

uint32_t netlink_u32(const struct nlattr *attr, uint32_t missing)
{
	uint32_t v = missing;

	if (netlink_len(attr) >= sizeof(v))
		memcpy(&v, netlink_data(attr), sizeof(v));
	return v;
}

const char *netlink_string(const struct nlattr *attr)
{
	size_t len = netlink_len(attr);
	const char *text = netlink_data(attr);

	return len && text[len - 1] == '\0' ? text : NULL;
}
