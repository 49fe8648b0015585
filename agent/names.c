/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A query has a place in the table from its arrival to its answer. Its number is its id; the oldest
 * of those that are not handed out goes to the host next. The host answers each, if need be with
 * nothing; places of a host that has left are given away after NAMES_QUERY_MS, when they are needed.
 * A connection has at most one query in the table and is not read meanwhile.
 */
#include "agent/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "agent/names_redirect.h"
#include "common/dns_stream.h"

/* Datagrams taken in one round of the loop. */
#define DATAGRAMS_PER_ROUND 16
/* Connections that the kernel keeps until they are accepted. */
#define BACKLOG 16
/* The port of the UDP socket may be taken for TCP: try another. */
#define BIND_ATTEMPTS 16

struct server {
	struct names *names;
	uint32_t address; /* network order; 0: none */
	int udp, tcp;
	struct loop_source *udp_source, *tcp_source;
};

struct conn {
	struct server *server; /* NULL: not in use */
	int fd;
	struct loop_source *source, *idle;
	struct dns_stream in, out;
};

struct query {
	uint64_t id; /* 0: not in use */
	bool handed_out;
	struct server *server;
	struct conn *conn; /* NULL: by UDP */
	struct sockaddr_in from;
	uint8_t *data; /* NULL when it is the connection's */
	size_t len;
	uint64_t at_ms;
};

struct names {
	struct loop *loop;
	char *cgroup;
	struct server servers[NAMES_SERVERS_MAX];
	struct query *queries; /* both exist once there is a server */
	struct conn *conns;
	uint64_t last_id;
	names_next_fn next;
	void *userdata;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- queries ---- */

static void query_free(struct query *q)
{
	free(q->data);
	*q = (struct query){ 0 };
}

/* A free place, or NULL. Its id is set. */
static struct query *query_new(struct names *n, struct server *server)
{
	uint64_t now = now_ms();
	struct query *q = NULL;

	for (size_t i = 0; i < NAMES_QUERIES_MAX && !q; i++) {
		if (!n->queries[i].id)
			q = &n->queries[i];
	}
	for (size_t i = 0; i < NAMES_QUERIES_MAX && !q; i++) {
		/* A connection gives its own back when it is closed. */
		if (!n->queries[i].conn && now - n->queries[i].at_ms > NAMES_QUERY_MS)
			q = &n->queries[i];
	}
	if (!q)
		return NULL;
	query_free(q);
	q->id = ++n->last_id;
	q->server = server;
	q->at_ms = now;
	return q;
}

static void hand_out(struct names *n)
{
	struct names_query out = { 0 };
	struct query *q = NULL;
	names_next_fn fn;

	for (size_t i = 0; n->next && n->queries && i < NAMES_QUERIES_MAX; i++) {
		struct query *other = &n->queries[i];

		if (other->id && !other->handed_out && (!q || other->id < q->id))
			q = other;
	}
	if (!q)
		return;
	out.id = q->id;
	memcpy(out.server, &q->server->address, sizeof(out.server));
	out.tcp = q->conn;
	out.data = q->data;
	out.len = q->len;
	if (q->conn)
		out.data = dns_stream_message(&q->conn->in, &out.len);
	q->handed_out = true;
	fn = n->next;
	n->next = NULL;
	fn(0, &out, n->userdata);
}

/* ---- datagrams ---- */

static void take_datagram(struct server *s, const uint8_t *data, size_t len, const struct sockaddr_in *from)
{
	struct query *q;

	if (len < DNS_MESSAGE_MIN || len > NAMES_UDP_QUERY_MAX)
		return;
	q = query_new(s->names, s);
	if (!q)
		return;
	q->data = malloc(len);
	if (!q->data) {
		query_free(q);
		return;
	}
	memcpy(q->data, data, len);
	q->len = len;
	q->from = *from;
}

static void on_datagram(int fd, unsigned int events, void *userdata)
{
	uint8_t data[NAMES_UDP_QUERY_MAX];
	struct server *s = userdata;

	(void)events;
	for (int i = 0; i < DATAGRAMS_PER_ROUND; i++) {
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), MSG_TRUNC, (struct sockaddr *)&from, &from_len);

		if (n < 0)
			break;
		take_datagram(s, data, (size_t)n, &from);
	}
	hand_out(s->names);
}

/* ---- connections ---- */

static void accept_more(struct names *n, bool more)
{
	for (size_t i = 0; i < NAMES_SERVERS_MAX; i++) {
		if (n->servers[i].tcp_source)
			loop_source_set_events(n->servers[i].tcp_source, more ? LOOP_READ : 0);
	}
}

static void conn_close(struct conn *c)
{
	struct names *n;

	if (!c->server)
		return;
	n = c->server->names;
	for (size_t i = 0; i < NAMES_QUERIES_MAX; i++) {
		if (n->queries[i].conn == c)
			query_free(&n->queries[i]);
	}
	loop_source_destroy(c->source);
	loop_source_destroy(c->idle);
	cleanup_close_p(&c->fd);
	dns_stream_reset(&c->in);
	dns_stream_reset(&c->out);
	*c = (struct conn){ .fd = -EBADF };
	accept_more(n, true);
}

static void conn_idle(void *userdata)
{
	conn_close(userdata);
}

static int conn_read(struct conn *c)
{
	struct names *n = c->server->names;
	int rc = dns_stream_read(&c->in, c->fd);
	struct query *q;

	if (rc <= 0)
		return rc;
	q = query_new(n, c->server);
	if (!q)
		return -EBUSY;
	q->conn = c;
	loop_source_set_events(c->source, 0);
	hand_out(n);
	return 0;
}

static int conn_write(struct conn *c)
{
	int rc = dns_stream_write(&c->out, c->fd);

	if (rc > 0)
		dns_stream_reset(&c->out);
	if (rc >= 0)
		loop_source_set_events(c->source, rc ? LOOP_READ : LOOP_WRITE);
	return rc;
}

static void on_conn(int fd, unsigned int events, void *userdata)
{
	struct conn *c = userdata;

	(void)fd;
	(void)events;
	loop_timer_set(c->idle, NAMES_IDLE_MS);
	if ((c->out.len ? conn_write(c) : conn_read(c)) < 0)
		conn_close(c);
}

static int conn_open(struct server *s, int fd)
{
	struct names *n = s->names;
	struct conn *c = NULL;
	size_t used = 0;
	int rc;

	for (size_t i = 0; i < NAMES_CONNS_MAX; i++) {
		used += n->conns[i].server != NULL;
		if (!n->conns[i].server)
			c = &n->conns[i];
	}
	if (!c)
		return -EBUSY;
	rc = loop_add_fd(n->loop, fd, LOOP_READ, on_conn, c, &c->source);
	if (rc >= 0)
		rc = loop_add_timer(n->loop, NAMES_IDLE_MS, conn_idle, c, &c->idle);
	if (rc < 0) {
		loop_source_destroy(TAKE_PTR(c->source));
		return rc;
	}
	c->server = s;
	c->fd = fd;
	if (used + 1 == NAMES_CONNS_MAX)
		accept_more(n, false);
	return 0;
}

static void on_accept(int fd, unsigned int events, void *userdata)
{
	_cleanup_close_ int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (conn >= 0 && conn_open(userdata, conn) >= 0)
		TAKE_FD(conn);
}

/* ---- servers ---- */

static void server_close(struct server *s)
{
	loop_source_destroy(s->udp_source);
	loop_source_destroy(s->tcp_source);
	cleanup_close_p(&s->udp);
	cleanup_close_p(&s->tcp);
	*s = (struct server){ .names = s->names, .udp = -EBADF, .tcp = -EBADF };
}

/* A socket of each kind on one port, which the kernel chooses. */
static int server_bind(struct server *s, uint32_t address, uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = address };
	socklen_t len = sizeof(at);

	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->udp < 0 || s->tcp < 0 || bind(s->udp, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    getsockname(s->udp, (struct sockaddr *)&at, &len) < 0 ||
	    bind(s->tcp, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(s->tcp, BACKLOG) < 0)
		return -errno;
	*ret_port = ntohs(at.sin_port);
	return 0;
}

static int server_open(struct server *s, uint32_t address, struct err *err)
{
	struct names *n = s->names;
	uint16_t port = 0;
	int rc = -EADDRINUSE;

	for (int i = 0; i < BIND_ATTEMPTS && rc == -EADDRINUSE; i++) {
		server_close(s);
		rc = server_bind(s, address, &port);
	}
	if (rc >= 0)
		rc = loop_add_fd(n->loop, s->udp, LOOP_READ, on_datagram, s, &s->udp_source);
	if (rc >= 0)
		rc = loop_add_fd(n->loop, s->tcp, LOOP_READ, on_accept, s, &s->tcp_source);
	if (rc < 0)
		return err_set_errno(err, rc, "listen");
	rc = names_redirect(n->cgroup, s->udp, address, DNS_PORT, port, err);
	if (rc >= 0)
		s->address = address;
	return rc;
}

static int make_tables(struct names *n)
{
	if (!n->queries)
		n->queries = calloc(NAMES_QUERIES_MAX, sizeof(*n->queries));
	if (!n->conns)
		n->conns = calloc(NAMES_CONNS_MAX, sizeof(*n->conns));
	return n->queries && n->conns ? 0 : -ENOMEM;
}

int names_serve(struct names *n, const uint8_t address[4], struct err *err)
{
	char text[INET_ADDRSTRLEN] = "";
	struct server *free_one = NULL;
	uint32_t wanted;
	int rc;

	memcpy(&wanted, address, sizeof(wanted));
	inet_ntop(AF_INET, &wanted, text, sizeof(text));
	if (address[0] != 127)
		return err_set(err, -EINVAL, "name server %s is not on the loopback interface", text);
	for (size_t i = NAMES_SERVERS_MAX; i-- > 0;) {
		if (n->servers[i].address == wanted)
			return 0;
		if (!n->servers[i].address)
			free_one = &n->servers[i];
	}
	if (!free_one)
		return err_set(err, -E2BIG, "name server %s: there are %u already", text, NAMES_SERVERS_MAX);
	rc = make_tables(n);
	if (rc >= 0)
		rc = server_open(free_one, wanted, err);
	if (rc < 0) {
		server_close(free_one);
		err_prefix(err, "name server %s", text);
	}
	return rc;
}

/* ---- the host's side ---- */

void names_next(struct names *n, names_next_fn fn, void *userdata)
{
	names_next_fn before = n->next;
	void *data = n->userdata;

	n->next = fn;
	n->userdata = userdata;
	if (before)
		before(-ECANCELED, NULL, data);
	hand_out(n);
}

static void answer_conn(struct conn *c, const void *data, size_t len)
{
	dns_stream_reset(&c->in);
	loop_timer_set(c->idle, NAMES_IDLE_MS);
	if (!len || dns_stream_put(&c->out, data, len) < 0 || conn_write(c) < 0)
		conn_close(c);
}

void names_answer(struct names *n, uint64_t id, const void *data, size_t len)
{
	struct query *q = NULL, done;

	for (size_t i = 0; n->queries && i < NAMES_QUERIES_MAX && !q; i++) {
		if (id && n->queries[i].id == id && n->queries[i].handed_out)
			q = &n->queries[i];
	}
	if (!q)
		return;
	done = *q;
	q->data = NULL;
	query_free(q);
	if (done.conn)
		answer_conn(done.conn, data, len);
	else if (len)
		/* Who asked may have gone, or may not read: either way it is lost, as datagrams are. */
		(void)sendto(done.server->udp, data, len, MSG_DONTWAIT, (struct sockaddr *)&done.from,
			     sizeof(done.from));
	free(done.data);
}

/* ---- life ---- */

int names_create(struct loop *loop, const char *cgroup, struct names **ret)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->loop = loop;
	n->cgroup = strdup(cgroup);
	if (!n->cgroup) {
		free(n);
		return -ENOMEM;
	}
	for (size_t i = 0; i < NAMES_SERVERS_MAX; i++)
		n->servers[i] = (struct server){ .names = n, .udp = -EBADF, .tcp = -EBADF };
	*ret = n;
	return 0;
}

void names_destroy(struct names *n)
{
	if (!n)
		return;
	for (size_t i = 0; n->conns && i < NAMES_CONNS_MAX; i++)
		conn_close(&n->conns[i]);
	for (size_t i = 0; n->queries && i < NAMES_QUERIES_MAX; i++)
		query_free(&n->queries[i]);
	for (size_t i = 0; i < NAMES_SERVERS_MAX; i++)
		server_close(&n->servers[i]);
	if (n->next)
		n->next(-ECANCELED, NULL, n->userdata);
	free(n->queries);
	free(n->conns);
	free(n->cgroup);
	free(n);
}
