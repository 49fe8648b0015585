/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.h - events on their way to containerd, in order
 *
 * Shape:    a queue with one event in flight. A call that fails is repeated over a new connection,
 *           PUBLISH_ATTEMPTS times with growing pauses; then the event is dropped, and the next one
 *           has its turn.
 * Limits:   PUBLISH_QUEUE_MAX events wait; beyond, the newest is dropped.
 * Peer:     containerd, which may restart at any time.
 * Process:  the sandbox monitor; loop thread only.
 * Source:   containerd's shim API: containerd.services.events.ttrpc.v1.Events.
 */
#ifndef ONGGI_SHIM_CONTAINERD_PUBLISH_H
#define ONGGI_SHIM_CONTAINERD_PUBLISH_H

#include <stdbool.h>

#include <protobuf-c/protobuf-c.h>

#include "common/cleanup.h"
#include "common/loop.h"

#define PUBLISH_QUEUE_MAX 2048u
#define PUBLISH_ATTEMPTS 5u
#define PUBLISH_CALL_TIMEOUT_MS 5000u

struct publisher;

/*
 * @address    path of the unix socket of containerd's event service; "": there is none, events are
 *             dropped
 * @namespace  of containerd, in every envelope
 * @on_idle    (may be NULL) whenever the last event has left the queue, for good or bad
 * -ENOMEM.
 */
int publisher_create(struct loop *loop, const char *address, const char *namespace,
		     void (*on_idle)(void *userdata), void *userdata, struct publisher **ret);
/* What is queued is lost. NULL allowed. */
void publisher_destroy(struct publisher *p);
DEFINE_CLEANUP(struct publisher *, publisher_destroy);

/*
 * Queue @event (packed before return) under @topic, with the time of now. @type: name of its
 * message.
 */
void publisher_send(struct publisher *p, const char *topic, const char *type, const ProtobufCMessage *event);

/* As given to publisher_create. */
const char *publisher_namespace(const struct publisher *p);
bool publisher_is_idle(const struct publisher *p);

#endif
