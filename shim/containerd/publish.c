/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/containerd/publish.h"

#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/proto/events.pb-c.h"
#include "common/ttrpc.h"

#define SERVICE "containerd.services.events.ttrpc.v1.Events"
#define TYPE_PREFIX "containerd.events."
#define RETRY_STEP_MS 1000u

struct event {
	struct event *next;
	const char *topic; /* static */
	char *type;
	struct timespec time;
	unsigned int attempts;
	size_t len;
	uint8_t data[];
};

struct publisher {
	struct loop *loop;
	char *address, *namespace;
	void (*on_idle)(void *userdata);
	void *userdata;
	struct event *first, **last;
	unsigned int n;
	bool in_flight, closing;
	struct ttrpc_client *client;
	struct loop_source *work; /* the next attempt */
	bool stale; /* the connection has ended, or a call over it has failed */
};

static void event_free(struct event *e)
{
	free(e->type);
	free(e);
}

/* ---- one attempt ---- */

static void drop_first(struct publisher *p)
{
	struct event *e = p->first;

	p->first = e->next;
	if (!p->first)
		p->last = &p->first;
	p->n--;
	event_free(e);
}

static void try_later(struct publisher *p, const char *why)
{
	struct event *e = p->first;

	if (++e->attempts >= PUBLISH_ATTEMPTS) {
		log_warning("event '%s' could not be told to containerd: %s", e->topic, why);
		drop_first(p);
		loop_timer_set(p->work, 0);
	} else {
		loop_timer_set(p->work, (uint64_t)e->attempts * RETRY_STEP_MS);
	}
}

static void connection_gone(void *userdata)
{
	struct publisher *p = userdata;

	p->stale = true;
}

static void answered(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct publisher *p = userdata;

	p->in_flight = false;
	if (p->closing)
		return;
	if (code == TTRPC_OK) {
		drop_first(p);
		loop_timer_set(p->work, 0);
		return;
	}
	/* An event that containerd refuses would be refused again; all else is worth another try. */
	if (code == TTRPC_INVALID_ARGUMENT)
		p->first->attempts = PUBLISH_ATTEMPTS;
	p->stale = true;
	try_later(p, message);
}

static int connect_to_engine(struct publisher *p, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (p->client && !p->stale)
		return 0;
	ttrpc_client_destroy(TAKE_PTR(p->client));
	p->stale = false;
	r = ttrpc_connect_unix(p->address, &fd, err);
	if (r < 0)
		return r;
	r = ttrpc_client_create(p->loop, fd, connection_gone, p, &p->client);
	if (r < 0)
		return err_set_errno(err, r, "connection to '%s'", p->address);
	TAKE_FD(fd);
	return 0;
}

static int forward(struct publisher *p, struct err *err)
{
	Containerd__Events__ForwardRequest request = CONTAINERD__EVENTS__FORWARD_REQUEST__INIT;
	Containerd__Events__Envelope envelope = CONTAINERD__EVENTS__ENVELOPE__INIT;
	Containerd__Task__V2__Timestamp time = CONTAINERD__TASK__V2__TIMESTAMP__INIT;
	Containerd__Task__V2__Any any = CONTAINERD__TASK__V2__ANY__INIT;
	struct event *e = p->first;
	int r;

	time.seconds = e->time.tv_sec;
	time.nanos = (int32_t)e->time.tv_nsec;
	any.type_url = e->type;
	any.value = (ProtobufCBinaryData){ .data = e->data, .len = e->len };
	envelope.timestamp = &time;
	envelope.namespace_ = p->namespace;
	envelope.topic = (char *)(uintptr_t)e->topic;
	envelope.event = &any;
	request.envelope = &envelope;
	p->in_flight = true;
	r = ttrpc_client_call(p->client, SERVICE, "Forward", &request.base,
			      &containerd__task__v2__empty__descriptor, PUBLISH_CALL_TIMEOUT_MS, answered, p);
	if (r < 0) {
		p->in_flight = false;
		p->stale = true;
		return err_set_errno(err, r, "call of containerd");
	}
	return 0;
}

static void work_now(void *userdata)
{
	struct publisher *p = userdata;
	struct err err = ERR_INIT;

	if (p->in_flight)
		return;
	if (!p->first) {
		if (p->on_idle)
			p->on_idle(p->userdata);
		return;
	}
	if (connect_to_engine(p, &err) < 0 || forward(p, &err) < 0)
		try_later(p, err.text);
}

/* ---- for the callers ---- */

int publisher_create(struct loop *loop, const char *address, const char *namespace,
		     void (*on_idle)(void *userdata), void *userdata, struct publisher **ret)
{
	_cleanup_(publisher_destroy_p) struct publisher *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->loop = loop;
	p->last = &p->first;
	p->on_idle = on_idle;
	p->userdata = userdata;
	p->address = strdup(address);
	p->namespace = strdup(namespace);
	if (!p->address || !p->namespace)
		return -ENOMEM;
	r = loop_add_timer(loop, 0, work_now, p, &p->work);
	if (r >= 0)
		r = loop_timer_disarm(p->work);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

void publisher_destroy(struct publisher *p)
{
	if (!p)
		return;
	p->closing = true;
	ttrpc_client_destroy(p->client);
	loop_source_destroy(p->work);
	while (p->first)
		drop_first(p);
	free(p->address);
	free(p->namespace);
	free(p);
}

void publisher_send(struct publisher *p, const char *topic, const char *type, const ProtobufCMessage *event)
{
	size_t len = protobuf_c_message_get_packed_size(event);
	struct event *e;

	if (!p->address[0])
		return;
	e = p->n < PUBLISH_QUEUE_MAX ? calloc(1, sizeof(*e) + len) : NULL;
	if (!e || asprintf(&e->type, TYPE_PREFIX "%s", type) < 0) {
		free(e);
		log_warning("event '%s' is lost: too many wait for containerd", topic);
		return;
	}
	e->topic = topic;
	e->len = protobuf_c_message_pack(event, e->data);
	clock_gettime(CLOCK_REALTIME, &e->time);
	*p->last = e;
	p->last = &e->next;
	/* Behind another one it has its turn when that is done with. */
	if (p->n++ == 0)
		work_now(p);
}

bool publisher_is_idle(const struct publisher *p)
{
	return p->n == 0;
}

const char *publisher_namespace(const struct publisher *p)
{
	return p->namespace;
}
