/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One call of NextQuery waits at the agent as long as there is room for one more query; one whose answer the agent has
 * not taken counts too, or who asks and never listens would have us hold ever more of them. A query that arrived is a
 * socket and a timer: connected, so that nobody else's datagrams come in, sent, and gone with the answer, an error or
 * the timer, each of which the agent is told.
 */
#include "shim/sandbox_dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "common/dns_stream.h"
#include "common/io.h"
#include "common/proto/agent.pb-c.h"
#include "net/redirect.h"
#include "shim/resolv.h"
#include "shim/sandbox.h"

/* Of the network namespace of whoever looks. */
#define PORT_RANGE_FILE "/proc/sys/net/ipv4/ip_local_port_range"

struct query {
	struct sandbox_dns *dns;
	struct query *next;
	uint64_t id; /* the agent's */
	uint8_t dns_id[2];
	bool tcp;
	int fd;
	struct loop_source *source, *timer;
	struct dns_stream out, in; /* by TCP */
};

struct sandbox_dns {
	struct sandbox *sandbox;
	char *port_range; /* as it was; NULL: not changed */
	uint32_t servers[DNS_SERVERS_MAX]; /* network order */
	size_t n_servers;
	bool asking, failed;
	struct query *queries;
	size_t n_queries, n_streams;
	size_t n_telling; /* answers that the agent has not taken yet */
};

static void fetch(struct sandbox_dns *dns);

static bool bears_id(const struct query *q, const uint8_t *message, size_t len)
{
	return len >= DNS_MESSAGE_MIN && memcmp(message, q->dns_id, sizeof(q->dns_id)) == 0;
}

/* ---- the end of a query ---- */

static void query_free(struct query *q)
{
	loop_source_destroy(q->source);
	loop_source_destroy(q->timer);
	cleanup_close_p(&q->fd);
	dns_stream_reset(&q->out);
	dns_stream_reset(&q->in);
	free(q);
}

static void answered(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct sandbox_dns *dns = userdata;

	dns->n_telling--;
	if (!agent_code_is_loss(code))
		fetch(dns);
}

static void tell_agent(struct sandbox_dns *dns, uint64_t id, const uint8_t *answer, size_t len)
{
	Onggi__Agent__V1__AnswerQueryRequest request = ONGGI__AGENT__V1__ANSWER_QUERY_REQUEST__INIT;

	request.id = id;
	request.answer = (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)answer, .len = len };
	dns->n_telling++;
	agent_call(dns->sandbox, "AnswerQuery", &request.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_QUERY_TIMEOUT_MS, answered, dns);
}

/* @len 0: there is no answer. */
static void finish(struct query *q, const uint8_t *answer, size_t len)
{
	struct sandbox_dns *dns = q->dns;
	struct query **at = &dns->queries;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	dns->n_queries--;
	dns->n_streams -= q->tcp;
	tell_agent(dns, q->id, answer, len);
	query_free(q);
	fetch(dns);
}

static void on_timeout(void *userdata)
{
	finish(userdata, NULL, 0);
}

/* ---- datagrams ---- */

static void on_datagram(int fd, unsigned int events, void *userdata)
{
	_cleanup_free_ uint8_t *data = malloc(DNS_MESSAGE_MAX);
	struct query *q = userdata;
	ssize_t n;

	(void)events;
	if (!data) {
		finish(q, NULL, 0);
		return;
	}
	n = recv(fd, data, DNS_MESSAGE_MAX, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* An error is mostly "connection refused": nobody listens. */
	if (n < 0)
		finish(q, NULL, 0);
	else if (bears_id(q, data, (size_t)n))
		finish(q, data, (size_t)n);
}

/* ---- streams ---- */

/* Returns 1 when the answer is there. */
static int stream_step(struct query *q)
{
	int r = 0, error = 0;
	socklen_t len = sizeof(error);

	if (q->out.len) {
		if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
			return error ? -error : -errno;
		r = dns_stream_write(&q->out, q->fd);
		if (r <= 0)
			return r;
		dns_stream_reset(&q->out);
		loop_source_set_events(q->source, LOOP_READ);
		return 0;
	}
	return dns_stream_read(&q->in, q->fd);
}

static void on_stream(int fd, unsigned int events, void *userdata)
{
	struct query *q = userdata;
	const uint8_t *message;
	int r = stream_step(q);
	size_t len;

	(void)fd;
	(void)events;
	if (r == 0)
		return;
	if (r < 0) {
		finish(q, NULL, 0);
		return;
	}
	message = dns_stream_message(&q->in, &len);
	if (bears_id(q, message, len))
		finish(q, message, len);
	else
		finish(q, NULL, 0);
}

/* ---- the begin of a query ---- */

static int query_send(struct query *q, uint32_t server, const ProtobufCBinaryData *message)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(DNS_PORT),
					.sin_addr.s_addr = server };
	struct loop *loop = q->dns->sandbox->loop;
	int r;

	q->fd = socket(AF_INET, (q->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return -errno;
	if (connect(q->fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return -errno;
	if (q->tcp)
		r = dns_stream_put(&q->out, message->data, message->len);
	else
		r = send(q->fd, message->data, message->len, 0) < 0 ? -errno : 0;
	if (r >= 0)
		r = loop_add_fd(loop, q->fd, q->tcp ? LOOP_WRITE : LOOP_READ,
				q->tcp ? on_stream : on_datagram, q, &q->source);
	if (r >= 0)
		r = loop_add_timer(loop, DNS_TIMEOUT_MS, on_timeout, q, &q->timer);
	return r;
}

static int query_create(struct sandbox_dns *dns, const Onggi__Agent__V1__NextQueryResponse *m,
			uint32_t server)
{
	struct query *q = NULL;
	int r;

	if (m->tcp && dns->n_streams >= DNS_STREAMS_MAX)
		return -EBUSY;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->dns = dns;
	q->id = m->id;
	q->tcp = m->tcp;
	q->fd = -EBADF;
	memcpy(q->dns_id, m->query.data, sizeof(q->dns_id));
	r = query_send(q, server, &m->query);
	if (r < 0) {
		query_free(q);
		return r;
	}
	q->next = dns->queries;
	dns->queries = q;
	dns->n_queries++;
	dns->n_streams += q->tcp;
	return 0;
}

/* ---- fetching ---- */

/* The guest may ask those only that it was told to serve. 0: none of them. */
static uint32_t server_of(const struct sandbox_dns *dns, const ProtobufCBinaryData *address)
{
	for (size_t i = 0; i < dns->n_servers; i++) {
		if (address->len == sizeof(dns->servers[i]) &&
		    memcmp(address->data, &dns->servers[i], address->len) == 0)
			return dns->servers[i];
	}
	return 0;
}

static void fetched(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	const Onggi__Agent__V1__NextQueryResponse *m = response;
	struct sandbox_dns *dns = userdata;
	char text[AGENT_TEXT_MAX];
	uint32_t server;

	dns->asking = false;
	if (agent_code_is_loss(code))
		return;
	server = code == TTRPC_OK ? server_of(dns, &m->server) : 0;
	if (!server || m->query.len < DNS_MESSAGE_MIN || m->query.len > DNS_MESSAGE_MAX) {
		/* An agent of ours does none of this: do not ask this one again. */
		agent_text(text, sizeof(text), code == TTRPC_OK ? "impossible query" : message);
		sandbox_log(dns->sandbox, LOG_LEVEL_ERROR, "names are not resolved any more: %s", text);
		dns->failed = true;
		return;
	}
	if (query_create(dns, m, server) < 0)
		tell_agent(dns, m->id, NULL, 0);
	fetch(dns);
}

static void fetch(struct sandbox_dns *dns)
{
	Onggi__Agent__V1__Empty request = ONGGI__AGENT__V1__EMPTY__INIT;

	if (dns->asking || dns->failed || dns->n_queries + dns->n_telling >= DNS_QUERIES_MAX)
		return;
	dns->asking = true;
	agent_call(dns->sandbox, "NextQuery", &request.base,
		   &onggi__agent__v1__next_query_response__descriptor, 0, fetched, dns);
}

/* ---- serving ---- */

/*
 * A server of the engine may have to ask others, from within the namespace, whose answers would go to
 * the guest: those to ports of this range are left to the host.
 */
static void spare_ports(struct sandbox_dns *dns)
{
	char range[32];
	int n = snprintf(range, sizeof(range), "%d %d", NET_SPARED_PORT_FIRST, NET_SPARED_PORT_LAST), r;

	if (dns->port_range)
		return;
	r = io_read_file(AT_FDCWD, PORT_RANGE_FILE, 64, &dns->port_range, NULL);
	if (r >= 0)
		r = io_write_file(AT_FDCWD, PORT_RANGE_FILE, range, (size_t)n);
	if (r < 0)
		sandbox_log(dns->sandbox, LOG_LEVEL_WARNING, "'%s': %s", PORT_RANGE_FILE, strerror(-r));
}

static void served(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct sandbox_dns *dns = userdata;
	char text[AGENT_TEXT_MAX];

	if (code == TTRPC_OK || agent_code_is_loss(code))
		return;
	agent_text(text, sizeof(text), message);
	sandbox_log(dns->sandbox, LOG_LEVEL_ERROR, "serve names in the guest: %s", text);
}

static void serve(struct sandbox_dns *dns, uint32_t server)
{
	Onggi__Agent__V1__ServeNamesRequest request = ONGGI__AGENT__V1__SERVE_NAMES_REQUEST__INIT;
	ProtobufCBinaryData address = { .len = sizeof(server), .data = (uint8_t *)&server };

	for (size_t i = 0; i < dns->n_servers; i++) {
		if (dns->servers[i] == server)
			return;
	}
	if (dns->n_servers == DNS_SERVERS_MAX)
		return;
	dns->servers[dns->n_servers++] = server;
	spare_ports(dns);
	request.servers = &address;
	request.n_servers = 1;
	agent_call(dns->sandbox, "ServeNames", &request.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_QUERY_TIMEOUT_MS, served, dns);
	fetch(dns);
}

void sandbox_dns_look(struct sandbox *s, int fd)
{
	uint32_t servers[RESOLV_SERVERS_MAX];
	/* In a Kubernetes pod a loopback address is the pod's own, where a container may serve names. */
	size_t n = fd >= 0 && !(s->record && s->record->cri_sandbox_id) ? resolv_loopback_of(fd, servers) : 0;

	if (n > 0 && !s->dns) {
		s->dns = calloc(1, sizeof(*s->dns));
		if (!s->dns)
			return;
		s->dns->sandbox = s;
	}
	for (size_t i = 0; i < n; i++)
		serve(s->dns, servers[i]);
}

void sandbox_dns_destroy(struct sandbox_dns *dns)
{
	struct query *next;

	for (struct query *q = dns ? dns->queries : NULL; q; q = next) {
		next = q->next;
		query_free(q);
	}
	/* The namespace may live on. */
	if (dns && dns->port_range)
		(void)io_write_file(AT_FDCWD, PORT_RANGE_FILE, dns->port_range, strlen(dns->port_range));
	if (dns)
		free(dns->port_range);
	free(dns);
}
