/* SPDX-License-Identifier: Apache-2.0 */
/* The cards themselves: which is which, names, MTU, up and down, the slot that one sits in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "agent/network_internal.h"
#include "agent/procfs.h"
#include "agent/slot.h"
#include "common/io.h"
#include "common/log.h"

/* A dump that links have changed under is begun anew, so often. */
#define DUMP_ATTEMPTS 5

/*
 * Before a card first comes up: network.h says why. "1" is IN6_ADDR_GEN_MODE_NONE, no address of the
 * card's own.
 */
static const struct {
	const char *name, *value;
} card_settings[] = {
	{ "accept_ra", "0" },
	{ "autoconf", "0" },
	{ "addr_gen_mode", "1" },
};

/* ---- finding ---- */

struct finding {
	const char *kind;
	const network_plan *plan;
	struct network_link *links;
};

/* Other devices on top of a card (VLANs, bridges, …) have its address too. */
static bool is_card(const struct finding *f, const struct nlattr *linkinfo)
{
	const struct nlattr *table[IFLA_INFO_KIND + 1] = { NULL };
	const char *kind;

	if (linkinfo && netlink_parse_nested(linkinfo, table, IFLA_INFO_KIND) < 0)
		return false;
	kind = netlink_string(table[IFLA_INFO_KIND]);
	return f->kind ? kind && !strcmp(kind, f->kind) : !kind;
}

static int on_link(const struct nlmsghdr *message, void *userdata)
{
	const struct ifinfomsg *header = netlink_header(message, sizeof(*header));
	const struct nlattr *table[IFLA_PERM_ADDRESS + 1], *mac;
	const struct finding *f = userdata;
	const char *name;

	if (!header || message->nlmsg_type != RTM_NEWLINK ||
	    netlink_parse(message, sizeof(*header), table, IFLA_PERM_ADDRESS) < 0)
		return -EBADMSG;
	name = netlink_string(table[IFLA_IFNAME]);
	/* The one that the card came with, whatever a workload has made of it. */
	mac = table[IFLA_PERM_ADDRESS] ? table[IFLA_PERM_ADDRESS] : table[IFLA_ADDRESS];
	if (!name || strlen(name) >= IFNAMSIZ || netlink_len(mac) != NETWORK_MAC_BYTES ||
	    !is_card(f, table[IFLA_LINKINFO]))
		return 0;
	for (size_t i = 0; i < f->plan->n_interfaces; i++) {
		struct network_link *link = &f->links[i];

		if (memcmp(f->plan->interfaces[i]->mac.data, netlink_data(mac), NETWORK_MAC_BYTES) != 0)
			continue;
		link->index = header->ifi_index;
		link->mtu = netlink_u32(table[IFLA_MTU], 0);
		link->up = header->ifi_flags & IFF_UP;
		memcpy(link->name, name, strlen(name) + 1);
	}
	return 0;
}

/* A card by name: @f's links[0]. */
static int on_namesake(const struct nlmsghdr *message, void *userdata)
{
	const struct ifinfomsg *header = netlink_header(message, sizeof(*header));
	const struct nlattr *table[IFLA_LINKINFO + 1];
	const struct finding *f = userdata;

	if (!header || message->nlmsg_type != RTM_NEWLINK ||
	    netlink_parse(message, sizeof(*header), table, IFLA_LINKINFO) < 0)
		return -EBADMSG;
	if (!(header->ifi_flags & IFF_LOOPBACK) && is_card(f, table[IFLA_LINKINFO])) {
		f->links->index = header->ifi_index;
		f->links->up = header->ifi_flags & IFF_UP;
	}
	return 0;
}

int network_find_links(struct netlink *nl, const char *kind, const network_plan *plan,
		       struct network_link *links, struct err *err)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct finding f = { .kind = kind, .plan = plan, .links = links };
	int rc = -EAGAIN, missing = 0;
	struct netlink_message m;

	for (int i = 0; i < DUMP_ATTEMPTS && rc == -EAGAIN; i++) {
		memset(links, 0, plan->n_interfaces * sizeof(*links));
		netlink_message_init(&m, RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
		netlink_put_u32(&m, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		rc = netlink_request(nl, &m, on_link, &f, err);
	}
	if (rc < 0) {
		err_prefix(err, "list the network interfaces");
		return rc;
	}
	for (size_t i = 0; i < plan->n_interfaces; i++)
		missing += links[i].index == 0;
	return missing;
}

/* ---- changing ---- */

static void link_message(struct netlink_message *m, int index, unsigned int flags, unsigned int change)
{
	const struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = flags,
		.ifi_change = change,
	};

	netlink_message_init(m, RTM_NEWLINK, 0, &header, sizeof(header));
}

static int set_up(struct netlink *nl, struct network_link *link, bool up, struct err *err)
{
	struct netlink_message m;
	int rc;

	if (link->up == up)
		return 0;
	link_message(&m, link->index, up ? IFF_UP : 0, IFF_UP);
	rc = netlink_request(nl, &m, NULL, NULL, err);
	if (rc < 0)
		err_prefix(err, "interface '%s': bring %s", link->name, up ? "up" : "down");
	else
		link->up = up;
	return rc;
}

/* Only one that is down can be renamed; the routes that it loses by that are set again later. */
static int rename_link(struct netlink *nl, struct network_link *link, const char *name, struct err *err)
{
	struct netlink_message m;
	int rc;

	rc = set_up(nl, link, false, err);
	if (rc < 0)
		return rc;
	link_message(&m, link->index, 0, 0);
	netlink_put_string(&m, IFLA_IFNAME, name);
	rc = netlink_request(nl, &m, NULL, NULL, err);
	if (rc < 0)
		err_prefix(err, "interface '%s': rename from '%s'", name, link->name);
	else
		memcpy(link->name, name, strlen(name) + 1);
	return rc;
}

static int move_aside(struct netlink *nl, struct network_link *link, struct err *err)
{
	char other[IFNAMSIZ];

	snprintf(other, sizeof(other), "onggi%u", (unsigned int)link->index);
	return rename_link(nl, link, other, err);
}

/*
 * Another of the cards may have the name that this one is to get: they change in turn. So may a card
 * that the host has given and wants back, whose slot is not empty yet; nobody needs its name.
 */
static int make_way(struct netlink *nl, const char *kind, const network_plan *plan, struct network_link *links,
		    const char *name, struct err *err)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct network_link stray = { .index = 0 };
	const struct finding f = { .kind = kind, .plan = plan, .links = &stray };
	struct netlink_message m;

	for (size_t i = 0; i < plan->n_interfaces; i++) {
		if (!strcmp(links[i].name, name))
			return move_aside(nl, &links[i], err);
	}
	snprintf(stray.name, sizeof(stray.name), "%s", name);
	netlink_message_init(&m, RTM_GETLINK, 0, &header, sizeof(header));
	netlink_put_string(&m, IFLA_IFNAME, name);
	/* That there is none is an error of the kernel's. */
	if (netlink_request(nl, &m, on_namesake, (void *)&f, NULL) < 0 || !stray.index)
		return 0;
	return move_aside(nl, &stray, err);
}

static int set_mtu(struct netlink *nl, struct network_link *link, uint32_t mtu, struct err *err)
{
	struct netlink_message m;
	int rc;

	if (link->mtu == mtu)
		return 0;
	link_message(&m, link->index, 0, 0);
	netlink_put_u32(&m, IFLA_MTU, mtu);
	rc = netlink_request(nl, &m, NULL, NULL, err);
	if (rc < 0)
		err_prefix(err, "interface '%s': MTU %u", link->name, mtu);
	return rc;
}

/* A kernel without IPv6, or an MTU that is too small for it, has none of these. */
static int apply_settings(const char *name, struct err *err)
{
	_cleanup_close_ int proc_fd = procfs_open(err);
	char path[96];
	int rc;

	if (proc_fd < 0)
		return proc_fd;
	for (size_t i = 0; i < ARRAY_SIZE(card_settings); i++) {
		snprintf(path, sizeof(path), "sys/net/ipv6/conf/%s/%s", name, card_settings[i].name);
		rc = procfs_write(proc_fd, path, card_settings[i].value, strlen(card_settings[i].value));
		if (rc < 0 && rc != -ENOENT)
			return err_set_errno(err, rc, "interface '%s': set '%s'", name, card_settings[i].name);
	}
	return 0;
}

/* A container's sysctl may have switched it off for cards that come later, too. */
static bool lacks_ipv6(const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	return io_read_file(AT_FDCWD, path, 16, &text, NULL) < 0 || text[0] != '0';
}

int network_setup_links(struct netlink *nl, const char *kind, const network_plan *plan, const bool *fresh,
			struct network_link *links, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < plan->n_interfaces && rc >= 0; i++) {
		const char *name = plan->interfaces[i]->name;

		if (!strcmp(links[i].name, name))
			continue;
		rc = make_way(nl, kind, plan, links, name, err);
		if (rc >= 0)
			rc = rename_link(nl, &links[i], name, err);
	}
	for (size_t i = 0; i < plan->n_interfaces && rc >= 0; i++) {
		if (fresh[i])
			rc = apply_settings(links[i].name, err);
		if (rc >= 0)
			rc = set_mtu(nl, &links[i], plan->interfaces[i]->mtu, err);
		if (rc >= 0)
			rc = set_up(nl, &links[i], true, err);
		links[i].no_ipv6 = lacks_ipv6(links[i].name);
	}
	return rc;
}

/* ---- retiring ---- */

void network_retire_link(struct netlink *nl, const struct network_link *link, bool hardware)
{
	struct network_link copy = *link;
	struct err err = ERR_INIT;
	char path[64];
	int rc;

	if (set_up(nl, &copy, false, &err) < 0)
		log_warning("%s", err.text);
	if (!hardware)
		return;
	snprintf(path, sizeof(path), "/sys/class/net/%s", link->name);
	rc = slot_switch_off(path);
	if (rc < 0 && rc != -ENODEV && rc != -ENOENT)
		log_warning("switch the slot of '%s' off: %s", link->name, strerror(-rc));
}
