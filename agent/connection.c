/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct connection {
	struct connection *next;
	struct stdio *stdio;
	char id[CONNECTION_ID_MAX + 1];
};

struct connections {
	struct loop *loop;
	struct connection *list;
	unsigned int n;
};

int connections_create(struct loop *loop, struct connections **ret)
{
	struct connections *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->loop = loop;
	*ret = cs;
	return 0;
}

static void connection_free(struct connection *c)
{
	stdio_destroy(c->stdio);
	free(c);
}

void connections_destroy(struct connections *cs)
{
	struct connection *next;

	for (struct connection *c = cs ? cs->list : NULL; c; c = next) {
		next = c->next;
		connection_free(c);
	}
	free(cs);
}

/*
 * Over the loopback interface the peer has answered before connect() returns, except when its queue
 * is full: the connection is then made, or not, while it is used.
 */
static int connect_to(const struct sockaddr *address, socklen_t len)
{
	_cleanup_close_ int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t size = sizeof(error);

	if (fd < 0 || (connect(fd, address, len) < 0 && errno != EINPROGRESS) ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return error ? -error : TAKE_FD(fd);
}

static int connect_port(uint16_t port)
{
	const struct sockaddr_in ipv4 = { .sin_family = AF_INET,
					  .sin_port = htons(port),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6,
					   .sin6_port = htons(port),
					   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = connect_to((const struct sockaddr *)&ipv4, sizeof(ipv4));

	return fd >= 0 ? fd : connect_to((const struct sockaddr *)&ipv6, sizeof(ipv6));
}

static struct connection **find(struct connections *cs, const char *id)
{
	struct connection **at = &cs->list;

	while (*at && strcmp((*at)->id, id) != 0)
		at = &(*at)->next;
	return at;
}

int connections_open(struct connections *cs, const char *id, uint16_t port, struct err *err)
{
	size_t len = strlen(id);
	struct connection *c;
	int fd, rc;

	if (len == 0 || len > CONNECTION_ID_MAX)
		return err_set(err, -EINVAL, "field 'id': not 1 to %u bytes", CONNECTION_ID_MAX);
	if (*find(cs, id))
		return err_set(err, -EEXIST, "connection '%s' exists already", id);
	if (cs->n >= CONNECTIONS_MAX)
		return err_set(err, -ENOSPC, "there are %u connections already", cs->n);
	fd = connect_port(port);
	if (fd < 0)
		return err_set_errno(err, -EPIPE, "connect to port %u of the loopback addresses", port);
	c = calloc(1, sizeof(*c));
	rc = c ? stdio_create(cs->loop, &c->stdio) : -ENOMEM;
	if (rc < 0) {
		close(fd);
		free(c);
		return err_set_errno(err, rc, "connection");
	}
	rc = stdio_open_socket(c->stdio, fd, err);
	if (rc < 0) {
		connection_free(c);
		return rc;
	}
	memcpy(c->id, id, len + 1);
	c->next = cs->list;
	cs->list = c;
	cs->n++;
	return 0;
}

struct stdio *connections_find(struct connections *cs, const char *id)
{
	struct connection *c = *find(cs, id);

	return c ? c->stdio : NULL;
}

void connections_close(struct connections *cs, const char *id)
{
	struct connection **at = find(cs, id), *c = *at;

	if (!c)
		return;
	*at = c->next;
	cs->n--;
	connection_free(c);
}
