/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onggi-agent - PID 1 of every guest, and its only program
 *
 * What runs here, in this order: the machine is brought up (guest.c), and made ready for clones if it
 * is to have any (prepare.c); the host's port is found (channel.c), and the methods of agent.proto are
 * served on it (service.c) until Shutdown is asked for or the host has gone. Either way the machine is switched off: a guest without its monitor has no
 * purpose.
 */
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/container.h"
#include "agent/guest.h"
#include "agent/prepare.h"
#include "agent/reaper.h"
#include "agent/service.h"
#include "agent/share.h"

/* Bytes; larger allocations get a mapping of their own. */
#define MALLOC_KEEP_BYTES (64 << 10)

/*
 * libevent mentions these functions in the one object that everything else of it needs. The agent
 * resolves no names, and the guest has nothing to resolve them with: with definitions of its own
 * the static link leaves glibc's resolver out, a tenth of the agent's memory.
 */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	(void)node;
	(void)service;
	(void)hints;
	*res = NULL;
	return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *res)
{
	(void)res;
}

struct servent *getservbyname(const char *name, const char *proto)
{
	(void)name;
	(void)proto;
	return NULL;
}

struct protoent *getprotobynumber(int proto)
{
	(void)proto;
	return NULL;
}

/* The same for an address in text: the scanner of numbers of every kind is 80 KiB. */
int sscanf(const char *text, const char *format, ...)
{
	(void)text;
	(void)format;
	return EOF;
}

const char *gai_strerror(int code)
{
	(void)code;
	return "";
}

static void on_end(void *userdata)
{
	loop_stop(userdata);
}

static void on_log_level(enum log_level level, void *userdata)
{
	(void)userdata;
	guest_log_level(level);
}

struct agent {
	struct loop *loop;
	struct reaper *reaper;
	struct share *share;
	struct container_table *containers;
	struct service *service;
	struct ttrpc_server *server;
	struct channel *channel;
	struct loop_source *settled;
};

static int create_parts(struct agent *a)
{
	struct service_hooks hooks = { .log_level = on_log_level, .shutdown = on_end };
	int rc;

	rc = loop_create(&a->loop);
	hooks.userdata = a->loop;
	if (rc >= 0)
		rc = reaper_create(a->loop, &a->reaper);
	if (rc >= 0)
		rc = share_create(a->loop, &a->share);
	if (rc >= 0)
		rc = container_table_create(a->loop, a->reaper, &a->containers);
	if (rc >= 0)
		rc = service_create(a->loop, a->containers, a->share, &hooks, &a->service);
	if (rc >= 0)
		rc = ttrpc_server_create(a->loop, service_ttrpc(a->service), 1, &a->server);
	return rc;
}

/*
 * The host sees the port being opened, and may save the machine as it is at that moment: it comes
 * last.
 */
static void open_channel(void *userdata)
{
	struct agent *a = userdata;
	struct err err = ERR_INIT;
	int port, rc;

	port = channel_open_port(CHANNEL_PORT_NAME, CHANNEL_PORT_WAIT_MS, &err);
	if (port < 0)
		guest_fatal("find the host", &err);
	rc = channel_create(a->loop, a->server, port, on_end, a->loop, &a->channel);
	if (rc < 0) {
		err_set_errno(&err, rc, "channel to the host");
		guest_fatal("serve", &err);
	}
}

/* Returns on failure only. Nothing is taken down piece by piece: the machine goes as a whole. */
static int serve(struct err *err)
{
	struct agent a = { 0 };
	int rc = create_parts(&a);

	if (rc >= 0)
		rc = loop_add_timer(a.loop, prepare_wanted() ? PREPARE_SETTLE_MS : 0, open_channel, &a,
				    &a.settled);
	if (rc >= 0)
		rc = loop_run(a.loop);
	if (rc >= 0)
		guest_power_off();
	return err_set_errno(err, rc, "serve the host");
}

int main(void)
{
	struct err err = ERR_INIT;

	if (getpid() != 1) {
		fprintf(stderr, "onggi-agent %s: runs as PID 1 of a guest only\n", ONGGI_VERSION);
		return 1;
	}
	/*
	 * Large buffers go back to the system as soon as they are freed; nothing is kept for a next
	 * time.
	 */
	mallopt(M_MMAP_THRESHOLD, MALLOC_KEEP_BYTES);
	mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP_BYTES);
	/* Writers of pipes and the channel hear of it by EPIPE. Children get the default back. */
	signal(SIGPIPE, SIG_IGN);
	if (guest_boot(&err) < 0)
		guest_fatal("boot", &err);
	if (prepare_wanted() && prepare_guest(&err) < 0)
		guest_fatal("prepare", &err);
	(void)serve(&err);
	guest_fatal("serve", &err);
}
