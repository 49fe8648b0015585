/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * While the host's side is closed, the port polls as readable and hung up, for ever: a
 * level-triggered source would spin. So the port also sits, edge-triggered, in an epoll set of the
 * channel's own, and that set is what the loop watches while nothing is served. An edge means
 * "something changed, look".
 */
#include "agent/channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "agent/uevent.h"
#include "common/io.h"
#include "common/log.h"

#define CHANNEL_PORTS_FOLDER "/sys/class/virtio-ports"
#define CHANNEL_NAME_MAX 256u

struct channel {
	struct loop *loop;
	struct ttrpc_server *server;
	int port, edges;
	struct loop_source *source;   /* of edges; asleep while the port is served */
	struct loop_source *retry;    /* looks again in the next round */
	struct loop_source *deadline; /* of a host that has left */
	void (*gone)(void *userdata);
	void *userdata;
};

/* ---- finding the port ---- */

/* Whether the port whose folder is @entry below @dirfd is called @name. */
static bool port_is(int dirfd, const char *entry, const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[NAME_MAX + 8];

	snprintf(path, sizeof(path), "%.255s/name", entry);
	if (io_read_file(dirfd, path, CHANNEL_NAME_MAX, &text, NULL) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, name);
}

/* Returns the opened port, or -ENOENT. */
static int port_look(const char *name, struct err *err)
{
	_cleanup_closedir_ DIR *dir = opendir(CHANNEL_PORTS_FOLDER);
	const struct dirent *entry;

	/* The class itself appears with its driver. */
	if (!dir)
		return errno == ENOENT ? -ENOENT :
					 err_set_errno(err, -errno, "read '%s'", CHANNEL_PORTS_FOLDER);
	while ((entry = readdir(dir))) {
		char path[NAME_MAX + 8];
		int fd;

		if (entry->d_name[0] == '.' || !port_is(dirfd(dir), entry->d_name, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%.255s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		return fd >= 0 || errno == ENOENT ? (fd >= 0 ? fd : -ENOENT) :
						    err_set_errno(err, -errno, "open port '%s'", path);
	}
	return -ENOENT;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

int channel_open_port(const char *name, unsigned int timeout_ms, struct err *err)
{
	_cleanup_close_ int uevents = uevent_open(err);
	int64_t deadline = now_ms() + timeout_ms;

	if (uevents < 0)
		return uevents;
	for (;;) {
		struct pollfd pfd = { .fd = uevents, .events = POLLIN };
		int fd = port_look(name, err);
		int64_t left = deadline - now_ms();

		if (fd != -ENOENT)
			return fd;
		if (left <= 0)
			return err_set(err, -ETIMEDOUT, "no virtio-serial port '%s' within %u ms", name,
				       timeout_ms);
		if (poll(&pfd, 1, (int)left) < 0 && errno != EINTR)
			return err_set_errno(err, -errno, "wait for port '%s'", name);
		uevent_drain(uevents);
	}
}

/* ---- serving it ---- */

static bool channel_host_connected(const struct channel *ch)
{
	struct pollfd pfd = { .fd = ch->port, .events = POLLIN };

	return poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLHUP);
}

static void channel_on_conn_gone(struct ttrpc_conn *conn, void *userdata)
{
	struct channel *ch = userdata;

	(void)conn;
	if (channel_host_connected(ch))
		log_error("the host has broken the protocol, starting over");
	else
		loop_timer_set(ch->deadline, CHANNEL_RECONNECT_MS);
	/* Not from within the connection's end. */
	loop_timer_set(ch->retry, 0);
}

static void channel_look(void *userdata)
{
	struct channel *ch = userdata;
	_cleanup_close_ int fd = -EBADF;
	struct epoll_event event;
	int rc;

	/* Edges up to now are answered by the look that follows; later ones wake the source. */
	(void)epoll_wait(ch->edges, &event, 1, 0);
	if (!channel_host_connected(ch)) {
		loop_source_set_events(ch->source, LOOP_READ);
		return;
	}
	loop_timer_disarm(ch->deadline);
	loop_source_set_events(ch->source, 0);
	fd = fcntl(ch->port, F_DUPFD_CLOEXEC, 0);
	rc = fd < 0 ? -errno : ttrpc_server_add(ch->server, fd, channel_on_conn_gone, ch);
	if (rc < 0) {
		log_error("serve the host: %s", strerror(-rc));
		ch->gone(ch->userdata);
		return;
	}
	fd = -EBADF;
}

static void channel_on_edge(int fd, unsigned int events, void *userdata)
{
	(void)fd;
	(void)events;
	channel_look(userdata);
}

static void channel_on_deadline(void *userdata)
{
	struct channel *ch = userdata;

	log_error("the host has been gone for %u s", CHANNEL_RECONNECT_MS / 1000);
	ch->gone(ch->userdata);
}

int channel_create(struct loop *loop, struct ttrpc_server *server, int port, void (*gone)(void *userdata),
		   void *userdata, struct channel **ret)
{
	_cleanup_(channel_destroy_p) struct channel *ch = calloc(1, sizeof(*ch));
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int rc;

	if (!ch)
		return -ENOMEM;
	ch->loop = loop;
	ch->server = server;
	ch->port = -EBADF;
	ch->gone = gone;
	ch->userdata = userdata;
	ch->edges = epoll_create1(EPOLL_CLOEXEC);
	if (ch->edges < 0 || epoll_ctl(ch->edges, EPOLL_CTL_ADD, port, &event) < 0)
		return -errno;
	rc = loop_add_fd(loop, ch->edges, 0, channel_on_edge, ch, &ch->source);
	if (rc >= 0)
		rc = loop_add_timer(loop, 0, channel_look, ch, &ch->retry);
	if (rc >= 0)
		rc = loop_add_timer(loop, CHANNEL_RECONNECT_MS, channel_on_deadline, ch, &ch->deadline);
	if (rc >= 0)
		rc = loop_timer_disarm(ch->deadline);
	if (rc < 0)
		return rc;
	ch->port = port;
	*ret = TAKE_PTR(ch);
	return 0;
}

void channel_destroy(struct channel *ch)
{
	if (!ch)
		return;
	loop_source_destroy(ch->source);
	loop_source_destroy(ch->retry);
	loop_source_destroy(ch->deadline);
	cleanup_close_p(&ch->edges);
	cleanup_close_p(&ch->port);
	free(ch);
}
