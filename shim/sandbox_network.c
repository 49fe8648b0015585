/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * What the namespace holds has a generation; it counts up when a scan finds something changed. Three
 * things follow it, each at its own pace, all driven by advance():
 *
 *   cards   one for each hardware address; a tap joined with its interface, plugged into the VM
 *           while that still boots. A card whose interface has been replaced by another of the same
 *           address is joined anew and stays plugged.
 *   told    the generation that the agent has confirmed. Only one request is under way.
 *   gone    cards that a request did not name are asked back once it is answered: the agent has let
 *           go of them by then. Until they are out no other of the same address can be plugged.
 *
 * A failure belongs to its generation: whoever settles hears of it, and the next one tries again.
 *
 * The kernel's events only say that something changes. An engine makes several changes for one
 * interface, so a scan follows SETTLE_MS later, unless somebody waits: then at once.
 */
#include "shim/sandbox_network.h"

#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <string.h>

#include "common/netlink.h"
#include "common/proto/agent.pb-c.h"
#include "net/redirect.h"
#include "net/scan.h"
#include "net/tap.h"
#include "shim/sandbox.h"
#include "shim/sandbox_network_message.h"

/* From the first of several changes to the look at all of them. */
#define SETTLE_MS 20
/* The agent waits 10 s for cards to appear. */
#define AGENT_NETWORK_TIMEOUT_MS 30000
#define VHOST_NET_PATH "/dev/vhost-net"
#define EVENT_GROUPS                                                                  \
	(RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |       \
	 RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)

enum card_state {
	CARD_ADDING,
	CARD_PRESENT,
	CARD_LEAVING,  /* the agent is being told that it is not wanted any more */
	CARD_REMOVING, /* the VM is asked for it */
	CARD_STUCK,    /* the guest does not let go of it */
};

struct card {
	struct sandbox_network *network;
	struct card *next;
	char id[24];
	char name[IFNAMSIZ]; /* of the interface, for messages */
	uint8_t mac[NET_MAC_BYTES];
	enum card_state state;
	uint32_t ifindex; /* of the interface it is joined with; 0: none any more */
	uint32_t mtu, tap_ifindex;
	int tap_fd;
};

struct waiter {
	struct waiter *next;
	sandbox_network_fn done;
	void *userdata;
};

struct sandbox_network {
	struct sandbox *sandbox;
	struct netlink nl, events;
	struct loop_source *source, *timer;
	bool dirty; /* something has changed since the last scan */
	bool vm_up;
	bool asking; /* UpdateNetwork is under way */
	struct net_state *state;
	uint64_t generation, carded, told; /* of state; cards follow it; the agent has it */
	uint64_t asked;			   /* that of the request under way */
	char *failure;			   /* of this generation */
	struct card *cards;
	uint64_t next_card;
	struct waiter *waiters;
};

static void advance(struct sandbox_network *n);

/* ---- who waits ---- */

static void answer_waiters(struct sandbox_network *n, enum ttrpc_code code, const char *message)
{
	struct waiter *w = TAKE_PTR(n->waiters), *next;

	for (; w; w = next) {
		next = w->next;
		w->done(code, message, w->userdata);
		free(w);
	}
}

static void fail(struct sandbox_network *n, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void fail(struct sandbox_network *n, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!n->waiters)
		sandbox_log(n->sandbox, LOG_LEVEL_ERROR, "network: %s", text);
	if (!n->failure)
		n->failure = strdup(text);
}

/* ---- cards ---- */

static void separate(struct card *card)
{
	struct err err = ERR_INIT;

	if (card->ifindex && net_redirect_remove(&card->network->nl, card->ifindex, &err) < 0)
		sandbox_log(card->network->sandbox, LOG_LEVEL_WARNING,
			    "network: interface '%s' keeps its redirect: %s", card->name, err.text);
	card->ifindex = 0;
}

/* Its VM, or its place in it, is gone. */
static void card_free(struct card *card)
{
	for (struct card **link = &card->network->cards; *link; link = &(*link)->next) {
		if (*link == card) {
			*link = card->next;
			break;
		}
	}
	separate(card);
	cleanup_close_p(&card->tap_fd);
	free(card);
}

static int join(struct card *card, const struct net_endpoint *e, struct err *err)
{
	struct netlink *nl = &card->network->nl;
	int r;

	snprintf(card->name, sizeof(card->name), "%s", e->name);
	if (card->mtu != e->mtu) {
		r = net_tap_set_mtu(nl, card->tap_ifindex, e->mtu, err);
		if (r < 0)
			return r;
		card->mtu = e->mtu;
	}
	if (card->ifindex == e->ifindex)
		return 0;
	separate(card);
	/* First the way out, so that nobody's question is swallowed unanswered. */
	r = net_redirect_add(nl, card->tap_ifindex, e->ifindex, err);
	if (r >= 0)
		r = net_redirect_add(nl, e->ifindex, card->tap_ifindex, err);
	if (r >= 0)
		r = net_redirect_spare_names(nl, e->ifindex, card->tap_ifindex, err);
	if (r >= 0)
		card->ifindex = e->ifindex;
	return r;
}

static void plugged(int code, const char *message, void *userdata)
{
	struct card *card = userdata;
	struct sandbox_network *n = card->network;

	if (code == -ECANCELED || code == -EPIPE)
		return; /* the VM is gone, and takes the cards along */
	if (code < 0) {
		fail(n, "interface '%s': plug the network card: %s", card->name, message);
		card_free(card);
	} else {
		card->state = CARD_PRESENT;
	}
	advance(n);
}

static int plug(struct card *card, struct err *err)
{
	struct sandbox *s = card->network->sandbox;
	_cleanup_close_ int vhost_fd = -EBADF;
	const uint8_t *m = card->mac;
	char mac[18];
	struct vm_device device = {
		.kind = VM_DEVICE_NIC, .id = card->id, .fd = card->tap_fd, .mac = mac
	};

	/* It is allowed, not demanded: where there is none the VMM moves the packets. */
	if (s->options.config->vhost_net)
		vhost_fd = open(VHOST_NET_PATH, O_RDWR | O_CLOEXEC);
	device.vhost_fd = vhost_fd;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	return vm_add_device(s->vm, &device, plugged, card, err);
}

static int card_create(struct sandbox_network *n, const struct net_endpoint *e, struct err *err)
{
	struct card *card = calloc(1, sizeof(*card));
	int r;

	if (!card)
		return err_set_errno(err, -ENOMEM, "network card");
	card->network = n;
	card->tap_fd = -EBADF;
	card->mtu = e->mtu;
	memcpy(card->mac, e->mac, sizeof(card->mac));
	snprintf(card->id, sizeof(card->id), "nic-%llu", (unsigned long long)n->next_card++);
	card->next = n->cards;
	n->cards = card;
	r = net_tap_create(&n->nl, e->mtu, &card->tap_fd, &card->tap_ifindex, err);
	if (r >= 0)
		r = join(card, e, err);
	if (r >= 0)
		r = plug(card, err);
	if (r < 0)
		card_free(card);
	return r;
}

static struct card *find_card(struct sandbox_network *n, const uint8_t mac[static NET_MAC_BYTES])
{
	for (struct card *card = n->cards; card; card = card->next) {
		if (!memcmp(card->mac, mac, NET_MAC_BYTES))
			return card;
	}
	return NULL;
}

static bool card_wanted(const struct sandbox_network *n, const struct card *card)
{
	for (size_t i = 0; i < n->state->n_endpoints; i++) {
		if (!memcmp(n->state->endpoints[i].mac, card->mac, NET_MAC_BYTES))
			return true;
	}
	return false;
}

/* Returns 1 when a former card of the same address is in the way for the moment. */
static int follow_with_card(struct sandbox_network *n, const struct net_endpoint *e,
			    struct err *err)
{
	struct card *card = find_card(n, e->mac);

	if (!card)
		return card_create(n, e, err);
	if (card->state <= CARD_PRESENT)
		return join(card, e, err);
	if (card->state == CARD_STUCK)
		return err_set(err, -EBUSY, "the guest keeps a former card of the same address");
	return 1;
}

/* A card for each interface; those that are left over carry nothing from now on. */
static void follow_with_cards(struct sandbox_network *n)
{
	struct err err = ERR_INIT;
	bool later = false;
	int r;

	for (struct card *card = n->cards; card; card = card->next) {
		if (!card_wanted(n, card))
			separate(card);
	}
	for (size_t i = 0; i < n->state->n_endpoints; i++) {
		const struct net_endpoint *e = &n->state->endpoints[i];

		r = follow_with_card(n, e, &err);
		later |= r > 0;
		if (r < 0) {
			fail(n, "interface '%s': %s", e->name,
			     err.text[0] ? err.text : strerror(-r));
			later = false;
			break;
		}
	}
	if (!later)
		n->carded = n->generation;
}

static void unplugged(int code, const char *message, void *userdata)
{
	struct card *card = userdata;
	struct sandbox_network *n = card->network;

	if (code == -ECANCELED || code == -EPIPE)
		return;
	if (code == 0 || code == -ENOENT) {
		/* It is out; perhaps the guest has ejected it by itself. */
		card_free(card);
	} else {
		/* Its tap must stay as long as the VMM holds it: it would spin on a dead one. */
		sandbox_log(n->sandbox, LOG_LEVEL_WARNING,
			    "network: card of interface '%s' stays plugged: %s", card->name,
			    message);
		card->state = CARD_STUCK;
	}
	advance(n);
}

static void unplug_leaving(struct sandbox_network *n)
{
	for (;;) {
		struct card *card = n->cards;
		struct err err = ERR_INIT;
		int r;

		while (card && card->state != CARD_LEAVING)
			card = card->next;
		if (!card)
			return;
		card->state = CARD_REMOVING;
		r = vm_remove_device(n->sandbox->vm, card->id, unplugged, card, &err);
		if (r < 0)
			unplugged(r, err.text, card);
	}
}

/* ---- the agent ---- */

static void update_answered(enum ttrpc_code code, const char *message, const void *response,
			    void *userdata)
{
	struct sandbox_network *n = userdata;
	char text[AGENT_TEXT_MAX];

	n->asking = false;
	if (agent_code_is_loss(code) || !n->vm_up)
		return; /* the end of the VM follows */
	if (code == TTRPC_OK) {
		n->told = n->asked;
	} else if (n->asked == n->generation) {
		agent_text(text, sizeof(text), message);
		fail(n, "in the guest: %s", text);
	}
	advance(n);
}

static void ask_agent(struct sandbox_network *n)
{
	Onggi__Agent__V1__UpdateNetworkRequest *request = NULL;
	int r = network_message_create(n->state, &request);

	if (r < 0) {
		fail(n, "%s", strerror(-r));
		return;
	}
	for (struct card *card = n->cards; card; card = card->next) {
		if (card->state == CARD_PRESENT && !card_wanted(n, card))
			card->state = CARD_LEAVING;
	}
	n->asking = true;
	n->asked = n->generation;
	agent_call(n->sandbox, "UpdateNetwork", &request->base,
		   &onggi__agent__v1__empty__descriptor, AGENT_NETWORK_TIMEOUT_MS, update_answered,
		   n);
	network_message_free(request);
}

/* ---- the namespace ---- */

static void scan(struct sandbox_network *n)
{
	struct net_state *state = NULL;
	struct err err = ERR_INIT;
	int r;

	n->dirty = false;
	r = net_scan(&n->nl, &state, &err);
	if (r < 0) {
		n->generation++;
		n->carded = n->generation;
		free(TAKE_PTR(n->failure));
		fail(n, "%s", err.text[0] ? err.text : strerror(-r));
		return;
	}
	if (n->state && !n->failure && net_state_equal(n->state, state)) {
		net_state_free(state);
		return;
	}
	free(TAKE_PTR(n->failure));
	net_state_free(n->state);
	n->state = state;
	n->generation++;
	/* A guest that never had a card has nothing to be told of their lack. */
	if (state->n_endpoints == 0 && !n->cards && n->told + 1 == n->generation)
		n->told = n->generation;
	if (state->note[0])
		sandbox_log(n->sandbox, LOG_LEVEL_WARNING, "network: left out: %s", state->note);
}

static int see_event(const struct nlmsghdr *message, void *userdata)
{
	const struct ndmsg *neighbour = netlink_header(message, sizeof(*neighbour));
	struct sandbox_network *n = userdata;

	/* What the host's kernel learns of its neighbours by itself is no change of configuration. */
	if ((message->nlmsg_type == RTM_NEWNEIGH || message->nlmsg_type == RTM_DELNEIGH) &&
	    neighbour && !(neighbour->ndm_state & NUD_PERMANENT))
		return 0;
	n->dirty = true;
	return 0;
}

static void read_events(struct sandbox_network *n)
{
	/* Lost events and broken ones: something has happened. */
	if (netlink_read_events(&n->events, see_event, n) < 0)
		n->dirty = true;
}

static void changes_are_over(void *userdata)
{
	struct sandbox_network *n = userdata;

	loop_source_destroy(TAKE_PTR(n->timer));
	if (!n->vm_up)
		return;
	read_events(n);
	if (n->dirty)
		scan(n);
	advance(n);
}

static void events_there(int fd, unsigned int events, void *userdata)
{
	struct sandbox_network *n = userdata;

	read_events(n);
	if (!n->dirty || n->timer || !n->vm_up)
		return;
	if (loop_add_timer(n->sandbox->loop, SETTLE_MS, changes_are_over, n, &n->timer) < 0)
		changes_are_over(n);
}

/* ---- following ---- */

static bool plugging(const struct sandbox_network *n)
{
	for (const struct card *card = n->cards; card; card = card->next) {
		if (card->state == CARD_ADDING)
			return true;
	}
	return false;
}

static void advance(struct sandbox_network *n)
{
	if (!n->vm_up)
		return;
	if (n->carded != n->generation)
		follow_with_cards(n);
	if (plugging(n) || n->asking)
		return;
	unplug_leaving(n);
	if (n->carded != n->generation)
		return; /* until a former card is out */
	if (!n->failure && n->told != n->generation) {
		if (n->sandbox->phase != SANDBOX_READY)
			return;
		ask_agent(n);
		if (!n->failure)
			return;
	}
	if (n->failure) {
		answer_waiters(n, TTRPC_FAILED_PRECONDITION, n->failure);
		return;
	}
	answer_waiters(n, TTRPC_OK, "");
}

void sandbox_network_settle(struct sandbox_network *n, sandbox_network_fn done, void *userdata)
{
	struct waiter *w;

	if (!n) {
		done(TTRPC_OK, "", userdata);
		return;
	}
	if (!n->vm_up) {
		done(TTRPC_UNAVAILABLE, "the guest is gone", userdata);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	*w = (struct waiter){ .next = n->waiters, .done = done, .userdata = userdata };
	n->waiters = w;
	read_events(n);
	if (n->dirty || n->failure)
		scan(n);
	advance(n);
}

/* ---- life ---- */

void sandbox_network_vm_started(struct sandbox_network *n)
{
	if (!n)
		return;
	n->vm_up = true;
	read_events(n);
	scan(n);
	advance(n);
}

void sandbox_network_guest_ready(struct sandbox_network *n)
{
	if (n)
		advance(n);
}

void sandbox_network_vm_stopped(struct sandbox_network *n)
{
	if (!n || !n->vm_up)
		return;
	n->vm_up = n->asking = false;
	loop_source_destroy(TAKE_PTR(n->timer));
	while (n->cards)
		card_free(n->cards);
	/* The next VM begins with nothing. */
	net_state_free(TAKE_PTR(n->state));
	free(TAKE_PTR(n->failure));
	n->generation = n->carded = n->told = 0;
	answer_waiters(n, TTRPC_UNAVAILABLE, "the guest is gone");
}

int sandbox_network_create(struct sandbox *s, struct sandbox_network **ret, struct err *err)
{
	_cleanup_(sandbox_network_destroy_p) struct sandbox_network *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->sandbox = s;
	n->nl = n->events = (struct netlink)NETLINK_INIT;
	if ((r = netlink_open(&n->nl, 0, err)) < 0 ||
	    (r = netlink_open(&n->events, EVENT_GROUPS, err)) < 0)
		return r;
	r = loop_add_fd(s->loop, n->events.fd, LOOP_READ, events_there, n, &n->source);
	if (r < 0)
		return err_set_errno(err, r, "watch the network namespace");
	*ret = TAKE_PTR(n);
	return 0;
}

void sandbox_network_destroy(struct sandbox_network *n)
{
	if (!n)
		return;
	sandbox_network_vm_stopped(n);
	loop_source_destroy(n->source);
	netlink_close(&n->events);
	netlink_close(&n->nl);
	free(n);
}
