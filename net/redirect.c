/* SPDX-License-Identifier: Apache-2.0 */
#include "net/redirect.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>
#include <sys/socket.h>

#include <stdbool.h>

/*
 * The filter's place in the order: behind those whose owner chose a number (policing), before those
 * that the kernel numbers (0xc000 downwards).
 */
#define FILTER_PRIORITY 0x6f67u
#define PARENT TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define QUEUE_HANDLE TC_H_MAKE(TC_H_CLSACT, 0)
/* Links of a namespace that are looked through for leftovers. */
#define LINKS_MAX 1024

/* What the action's cookie holds. */
struct cookie {
	char name[6];
	char queue; /* 'q': the queue is ours as well */
	char version;
};
_Static_assert(sizeof(struct cookie) == 8, "the kernel takes up to 16 bytes");

static struct cookie cookie_make(bool own_queue)
{
	return (struct cookie){ .name = "onggi", .queue = own_queue ? 'q' : '-', .version = '1' };
}

static struct tcmsg head(uint32_t ifindex)
{
	return (struct tcmsg){ .tcm_family = AF_UNSPEC,
			       .tcm_ifindex = (int)ifindex,
			       .tcm_parent = PARENT,
			       .tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL)) };
}

/* ---- the queue ---- */

/* Returns 1 if it was made, 0 if there was one. */
static int add_queue(struct netlink *nl, uint32_t ifindex, struct err *err)
{
	struct tcmsg header = head(ifindex);
	struct netlink_message m;
	int r;

	header.tcm_parent = TC_H_CLSACT;
	header.tcm_handle = QUEUE_HANDLE;
	header.tcm_info = 0;
	netlink_message_init(&m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	netlink_put_string(&m, TCA_KIND, "ingress");
	r = netlink_request(nl, &m, NULL, NULL, err);
	if (r == -EEXIST)
		return 0;
	if (r < 0)
		err_prefix(err, "ingress queue (kernel option NET_SCH_INGRESS)");
	return r < 0 ? r : 1;
}

static int delete_queue(struct netlink *nl, uint32_t ifindex, struct err *err)
{
	struct tcmsg header = head(ifindex);
	struct netlink_message m;

	header.tcm_parent = TC_H_CLSACT;
	header.tcm_handle = QUEUE_HANDLE;
	header.tcm_info = 0;
	netlink_message_init(&m, RTM_DELQDISC, 0, &header, sizeof(header));
	return netlink_request(nl, &m, NULL, NULL, err);
}

/* ---- the filter ---- */

/* @copy: the packet goes on here as well. */
static void put_action(struct netlink_message *m, uint32_t to, bool copy, const struct cookie *cookie)
{
	const struct tc_mirred mirred = { .action = copy ? TC_ACT_OK : TC_ACT_STOLEN,
					  .eaction = copy ? TCA_EGRESS_MIRROR : TCA_EGRESS_REDIR,
					  .ifindex = to };
	size_t actions, action, options;

	actions = netlink_nest_begin(m, TCA_U32_ACT);
	action = netlink_nest_begin(m, 1);
	netlink_put_string(m, TCA_ACT_KIND, "mirred");
	netlink_put(m, TCA_ACT_COOKIE, cookie, sizeof(*cookie));
	options = netlink_nest_begin(m, TCA_ACT_OPTIONS);
	netlink_put(m, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
	netlink_nest_end(m, options);
	netlink_nest_end(m, action);
	netlink_nest_end(m, actions);
}

/* One key whose mask is empty: every packet matches. */
static int add_filter(struct netlink *nl, uint32_t from, uint32_t to, bool own_queue,
		      struct err *err)
{
	struct {
		struct tc_u32_sel selector;
		struct tc_u32_key key;
	} all = { .selector = { .flags = TC_U32_TERMINAL, .nkeys = 1 } };
	const struct tcmsg header = head(from);
	const struct cookie cookie = cookie_make(own_queue);
	struct netlink_message m;
	size_t options;
	int r;

	netlink_message_init(&m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &header,
			     sizeof(header));
	netlink_put_string(&m, TCA_KIND, "u32");
	options = netlink_nest_begin(&m, TCA_OPTIONS);
	netlink_put(&m, TCA_U32_SEL, &all, sizeof(all));
	put_action(&m, to, false, &cookie);
	netlink_nest_end(&m, options);
	r = netlink_request(nl, &m, NULL, NULL, err);
	if (r < 0)
		err_prefix(err, "redirect filter (kernel options NET_CLS_U32 and NET_ACT_MIRRED)");
	return r;
}

/* ---- what stays with the host ---- */

#define SPARED_KEYS_MAX 5
/* The bits of a port that all of the spared ones have in common. */
#define SPARED_MASK (0xffffu & ~(uint32_t)(NET_SPARED_PORT_LAST - NET_SPARED_PORT_FIRST))
_Static_assert((NET_SPARED_PORT_FIRST & SPARED_MASK) == NET_SPARED_PORT_FIRST &&
		       (NET_SPARED_PORT_LAST & SPARED_MASK) == NET_SPARED_PORT_FIRST,
	       "the ports are one aligned block");

/* A word of the packet, counted from its network header; its Ethernet type is the one before. */
struct spared_key {
	uint32_t mask, value;
	int offset;
};

/* An answer of a name server by @protocol_: no IP options, not a later fragment. */
#define SPARED_ANSWER(protocol_)                                                               \
	{                                                                                      \
		{ 0x0000ffff, ETH_P_IP, -4 }, { 0x0f000000, 0x05000000, 0 }, { 0x00001fff, 0, 4 }, \
			{ 0x00ff0000, (uint32_t)(protocol_) << 16, 8 },                        \
			{ 0xffff0000 | SPARED_MASK, 53u << 16 | NET_SPARED_PORT_FIRST, 20 }    \
	}

static const struct {
	bool copy;
	int n_keys;
	struct spared_key keys[SPARED_KEYS_MAX];
} spared[] = {
	/* An ARP reply: operation 2. */
	{ true, 2, { { 0x0000ffff, ETH_P_ARP, -4 }, { 0x0000ffff, 2, 4 } } },
	{ false, 5, SPARED_ANSWER(IPPROTO_UDP) },
	{ false, 5, SPARED_ANSWER(IPPROTO_TCP) },
};

int net_redirect_spare_names(struct netlink *nl, uint32_t from, uint32_t to, struct err *err)
{
	const struct cookie cookie = cookie_make(false);

	for (size_t i = 0; i < ARRAY_SIZE(spared); i++) {
		struct {
			struct tc_u32_sel selector;
			struct tc_u32_key keys[SPARED_KEYS_MAX];
		} match = { .selector = { .flags = TC_U32_TERMINAL,
					  .nkeys = (unsigned char)spared[i].n_keys } };
		struct tcmsg header = head(from);
		struct netlink_message m;
		size_t options;
		int r;

		for (int k = 0; k < spared[i].n_keys; k++)
			match.keys[k] = (struct tc_u32_key){ .mask = htonl(spared[i].keys[k].mask),
							     .val = htonl(spared[i].keys[k].value),
							     .off = spared[i].keys[k].offset };
		/* The kernel numbers what it is given without a number from 0x800 on, and goes by it. */
		header.tcm_handle = (uint32_t)i + 1;
		netlink_message_init(&m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &header,
				     sizeof(header));
		netlink_put_string(&m, TCA_KIND, "u32");
		options = netlink_nest_begin(&m, TCA_OPTIONS);
		netlink_put(&m, TCA_U32_SEL, &match,
			    sizeof(match.selector) +
				    (size_t)spared[i].n_keys * sizeof(match.keys[0]));
		if (spared[i].copy)
			put_action(&m, to, true, &cookie);
		netlink_nest_end(&m, options);
		r = netlink_request(nl, &m, NULL, NULL, err);
		if (r < 0) {
			err_prefix(err, "filter for answers of name servers");
			return r;
		}
	}
	return 0;
}

static int delete_filter(struct netlink *nl, uint32_t from, struct err *err)
{
	const struct tcmsg header = head(from);
	struct netlink_message m;

	netlink_message_init(&m, RTM_DELTFILTER, 0, &header, sizeof(header));
	return netlink_request(nl, &m, NULL, NULL, err);
}

/* ---- finding ours ---- */

struct found {
	bool filter, queue;
	bool others; /* somebody else has put filters into the queue */
};

static int look_at_filter(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *attrs[TCA_OPTIONS + 1], *options[TCA_U32_ACT + 1], *actions[2],
		*action[TCA_ACT_COOKIE + 1];
	const struct tcmsg *header = netlink_header(message, sizeof(*header));
	struct found *found = userdata;
	struct cookie cookie, ours = cookie_make(true);

	if (message->nlmsg_type != RTM_NEWTFILTER || !header)
		return 0;
	if (TC_H_MAJ(header->tcm_info) >> 16 != FILTER_PRIORITY) {
		found->others = true;
		return 0;
	}
	/* What does not parse in this way is not ours. */
	if (netlink_parse(message, sizeof(*header), attrs, TCA_OPTIONS) < 0 ||
	    !attrs[TCA_KIND] || !netlink_string(attrs[TCA_KIND]) ||
	    strcmp(netlink_string(attrs[TCA_KIND]), "u32") != 0 ||
	    netlink_parse_nested(attrs[TCA_OPTIONS], options, TCA_U32_ACT) < 0 ||
	    netlink_parse_nested(options[TCA_U32_ACT], actions, 1) < 0 ||
	    netlink_parse_nested(actions[1], action, TCA_ACT_COOKIE) < 0 ||
	    netlink_len(action[TCA_ACT_COOKIE]) != sizeof(cookie))
		return 0;
	memcpy(&cookie, netlink_data(action[TCA_ACT_COOKIE]), sizeof(cookie));
	if (memcmp(cookie.name, ours.name, sizeof(cookie.name)) != 0)
		return 0;
	found->filter = true;
	/* Of several filters the one that redirects all knows. */
	found->queue = found->queue || cookie.queue == ours.queue;
	return 0;
}

static int find_ours(struct netlink *nl, uint32_t ifindex, struct found *ret, struct err *err)
{
	struct tcmsg header = head(ifindex);
	struct netlink_message m;
	struct found found = { 0 };
	int r;

	header.tcm_info = 0;
	netlink_message_init(&m, RTM_GETTFILTER, NLM_F_DUMP, &header, sizeof(header));
	r = netlink_request(nl, &m, look_at_filter, &found, err);
	if (r < 0)
		return r;
	*ret = found;
	return 0;
}

/* ---- what others call ---- */

int net_redirect_remove(struct netlink *nl, uint32_t from, struct err *err)
{
	struct found found = { 0 };
	int r;

	r = find_ours(nl, from, &found, err);
	if (r >= 0 && found.filter)
		r = delete_filter(nl, from, err);
	if (r >= 0 && found.queue && !found.others)
		r = delete_queue(nl, from, err);
	return r == -ENODEV || r == -ENOENT ? 0 : r;
}

int net_redirect_add(struct netlink *nl, uint32_t from, uint32_t to, struct err *err)
{
	int made, r;

	r = net_redirect_remove(nl, from, err);
	if (r < 0)
		return r;
	made = add_queue(nl, from, err);
	if (made < 0)
		return made;
	r = add_filter(nl, from, to, made > 0, err);
	if (r < 0 && made > 0)
		(void)delete_queue(nl, from, NULL);
	return r;
}

struct links {
	uint32_t ifindexes[LINKS_MAX];
	size_t n;
};

static int take_link(const struct nlmsghdr *message, void *userdata)
{
	const struct ifinfomsg *header = netlink_header(message, sizeof(*header));
	struct links *links = userdata;

	if (header && message->nlmsg_type == RTM_NEWLINK && links->n < LINKS_MAX)
		links->ifindexes[links->n++] = (uint32_t)header->ifi_index;
	return 0;
}

int net_redirect_remove_all(struct netlink *nl, struct err *err)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct netlink_message m;
	struct links links = { .n = 0 };
	int r, result;

	netlink_message_init(&m, RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
	result = netlink_request(nl, &m, take_link, &links, err);
	if (result == -EAGAIN)
		result = 0; /* what appears meanwhile is none of a dead monitor's */
	for (size_t i = 0; i < links.n; i++) {
		r = net_redirect_remove(nl, links.ifindexes[i], err);
		if (r < 0)
			result = r;
	}
	return result;
}
