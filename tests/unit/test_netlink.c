/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against the real kernel, in a network namespace of the test's own; malformed messages are made by
 * hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "common/netlink.h"
#include "tests/unit/check_leaks.h"

static int add_bridge(struct netlink *nl, const char *name, struct err *err)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct netlink_message m;
	size_t info;

	netlink_message_init(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	netlink_put_string(&m, IFLA_IFNAME, name);
	info = netlink_nest_begin(&m, IFLA_LINKINFO);
	netlink_put_string(&m, IFLA_INFO_KIND, "bridge");
	netlink_nest_end(&m, info);
	return netlink_request(nl, &m, NULL, NULL, err);
}

static int delete_link(struct netlink *nl, const char *name)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct netlink_message m;

	netlink_message_init(&m, RTM_DELLINK, 0, &link, sizeof(link));
	netlink_put_string(&m, IFLA_IFNAME, name);
	return netlink_request(nl, &m, NULL, NULL, NULL);
}

struct seen {
	char names[8][IFNAMSIZ];
	size_t n;
	uint32_t mtu;
	int answer; /* of the callback */
};

static int see_link(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *attrs[IFLA_MTU + 1];
	struct seen *s = userdata;

	assert_true(message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK);
	assert_int_equal(netlink_parse(message, sizeof(struct ifinfomsg), attrs, IFLA_MTU), 0);
	assert_non_null(netlink_string(attrs[IFLA_IFNAME]));
	assert_true(s->n < 8);
	strcpy(s->names[s->n++], netlink_string(attrs[IFLA_IFNAME]));
	s->mtu = netlink_u32(attrs[IFLA_MTU], 0);
	return s->answer;
}

static int dump_links(struct netlink *nl, struct seen *s, struct err *err)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct netlink_message m;

	netlink_message_init(&m, RTM_GETLINK, NLM_F_DUMP, &link, sizeof(link));
	return netlink_request(nl, &m, see_link, s, err);
}

static bool has(const struct seen *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->names[i], name))
			return true;
	return false;
}

static void links_are_made_listed_and_removed(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct seen s = { 0 };

	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	assert_int_equal(add_bridge(&nl, "one", NULL), 0);
	assert_int_equal(add_bridge(&nl, "two", NULL), 0);
	assert_int_equal(dump_links(&nl, &s, NULL), 0);
	assert_true(has(&s, "lo") && has(&s, "one") && has(&s, "two"));
	assert_int_equal(delete_link(&nl, "one"), 0);
	memset(&s, 0, sizeof(s));
	assert_int_equal(dump_links(&nl, &s, NULL), 0);
	assert_false(has(&s, "one"));
	assert_int_equal(delete_link(&nl, "two"), 0);
}

static void one_link_is_asked_for_by_name(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct netlink_message m;
	struct seen s = { 0 };

	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	netlink_message_init(&m, RTM_GETLINK, 0, &link, sizeof(link));
	netlink_put_string(&m, IFLA_IFNAME, "lo");
	assert_int_equal(netlink_request(&nl, &m, see_link, &s, NULL), 0);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.names[0], "lo");
	assert_int_equal(s.mtu, 65536);
}

static void errors_carry_code_and_words_of_the_kernel(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct err err = ERR_INIT;
	struct rtmsg route = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN,
			       .rtm_type = RTN_UNICAST, .rtm_protocol = RTPROT_STATIC };
	struct in_addr gateway = { htonl(0x0a000001) };
	struct netlink_message m;

	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	assert_int_equal(add_bridge(&nl, "one", NULL), 0);
	assert_int_equal(add_bridge(&nl, "one", &err), -EEXIST);
	assert_string_equal(err.text, "File exists");
	assert_int_equal(delete_link(&nl, "one"), 0);
	assert_int_equal(delete_link(&nl, "one"), -ENODEV);
	netlink_message_init(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof(route));
	netlink_put(&m, RTA_GATEWAY, &gateway, sizeof(gateway));
	assert_int_equal(netlink_request(&nl, &m, NULL, NULL, &err), -ENETUNREACH);
	assert_string_equal(err.text, "Network is unreachable (Nexthop has invalid gateway)");
}

static void a_message_that_is_too_long_is_never_sent(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	unsigned char big[NETLINK_MESSAGE_MAX + 1] = { 0 };
	struct netlink_message m;
	size_t nest;

	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	netlink_message_init(&m, RTM_NEWLINK, 0, &link, sizeof(link));
	nest = netlink_nest_begin(&m, IFLA_LINKINFO);
	for (int i = 0; i < NETLINK_MESSAGE_MAX; i++)
		netlink_put_u32(&m, IFLA_MTU, 1);
	netlink_nest_end(&m, nest);
	assert_true(m.len <= NETLINK_MESSAGE_MAX);
	assert_int_equal(netlink_request(&nl, &m, NULL, NULL, NULL), -EMSGSIZE);
	netlink_message_init(&m, RTM_NEWLINK, 0, &link, sizeof(link));
	netlink_put(&m, IFLA_IFNAME, big, sizeof(big));
	assert_int_equal(netlink_request(&nl, &m, NULL, NULL, NULL), -EMSGSIZE);
	netlink_message_init(&m, RTM_NEWLINK, 0, big, sizeof(big));
	assert_int_equal(netlink_request(&nl, &m, NULL, NULL, NULL), -EMSGSIZE);
}

static void a_callback_ends_a_dump_and_the_socket_stays_usable(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct seen s = { .answer = -ECANCELED };

	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	assert_int_equal(add_bridge(&nl, "one", NULL), 0);
	assert_int_equal(dump_links(&nl, &s, NULL), -ECANCELED);
	assert_int_equal(s.n, 1);
	memset(&s, 0, sizeof(s));
	assert_int_equal(dump_links(&nl, &s, NULL), 0);
	assert_true(has(&s, "lo") && has(&s, "one"));
	assert_int_equal(delete_link(&nl, "one"), 0);
}

static int count_message(const struct nlmsghdr *message, void *userdata)
{
	(*(size_t *)userdata)++;
	return 0;
}

static void a_long_dump_arrives_whole(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct netlink_message m;
	size_t count = 0;
	char name[IFNAMSIZ];

	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		assert_int_equal(add_bridge(&nl, name, NULL), 0);
	}
	netlink_message_init(&m, RTM_GETLINK, NLM_F_DUMP, &link, sizeof(link));
	assert_int_equal(netlink_request(&nl, &m, count_message, &count, NULL), 0);
	assert_true(count >= 101);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		assert_int_equal(delete_link(&nl, name), 0);
	}
}

static void events_are_read_without_waiting(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT, events = NETLINK_INIT;
	struct seen s = { 0 };

	assert_int_equal(netlink_open(&events, RTMGRP_LINK, NULL), 0);
	assert_int_equal(netlink_read_events(&events, see_link, &s), 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	assert_int_equal(add_bridge(&nl, "one", NULL), 0);
	assert_int_equal(delete_link(&nl, "one"), 0);
	assert_int_equal(netlink_read_events(&events, see_link, &s), 0);
	assert_in_range(s.n, 2, 8);
	s.answer = -ECANCELED;
	assert_int_equal(add_bridge(&nl, "one", NULL), 0);
	assert_int_equal(netlink_read_events(&events, see_link, &s), -ECANCELED);
	assert_int_equal(delete_link(&nl, "one"), 0);
}

static void lost_events_are_told(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT, events = NETLINK_INIT;
	struct seen s = { 0 };
	const int small = 1;

	assert_int_equal(netlink_open(&events, RTMGRP_LINK, NULL), 0);
	assert_int_equal(setsockopt(events.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(add_bridge(&nl, "one", NULL), 0);
		assert_int_equal(delete_link(&nl, "one"), 0);
	}
	assert_int_equal(netlink_read_events(&events, see_link, &s), -ENOBUFS);
}

static void strangers_are_not_listened_to(void **state)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct nlmsghdr h = { .nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = NLMSG_DONE, .nlmsg_seq = 1 };
	_cleanup_close_ int stranger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	socklen_t len = sizeof(to);
	struct seen s = { 0 };

	assert_int_equal(netlink_open(&nl, 0, NULL), 0);
	assert_int_equal(getsockname(nl.fd, (struct sockaddr *)&to, &len), 0);
	assert_int_equal(sendto(stranger, &h, sizeof(h), 0, (struct sockaddr *)&to, len), sizeof(h));
	assert_int_equal(dump_links(&nl, &s, NULL), 0);
	assert_true(has(&s, "lo"));
}

/* ---- reading --------------------------------------------------------------------------------- */

static void attributes_are_sorted_and_read(void **state)
{
	const struct nlattr *attrs[IFLA_LINKINFO + 1], *info[IFLA_INFO_KIND + 1];
	struct ifinfomsg link = { .ifi_index = 7 };
	struct netlink_message m;
	const struct nlmsghdr *h = (const struct nlmsghdr *)m.data;
	size_t mark;

	netlink_message_init(&m, RTM_NEWLINK, 0, &link, sizeof(link));
	netlink_put_u8(&m, IFLA_OPERSTATE, 6);
	netlink_put_u32(&m, IFLA_MTU, 1500);
	netlink_put_u32(&m, IFLA_MTU, 1400);
	netlink_put_u32(&m, IFLA_LINKINFO + 40, 1);
	netlink_put(&m, IFLA_IFNAME, "abc", 3);
	mark = netlink_nest_begin(&m, IFLA_LINKINFO);
	netlink_put_string(&m, IFLA_INFO_KIND, "veth");
	netlink_nest_end(&m, mark);
	((struct nlmsghdr *)m.data)->nlmsg_len = (uint32_t)m.len;
	assert_int_equal(((const struct ifinfomsg *)netlink_header(h, sizeof(link)))->ifi_index, 7);
	assert_null(netlink_header(h, m.len));
	assert_int_equal(netlink_parse(h, sizeof(link), attrs, IFLA_LINKINFO), 0);
	assert_int_equal(*(const uint8_t *)netlink_data(attrs[IFLA_OPERSTATE]), 6);
	assert_int_equal(netlink_u32(attrs[IFLA_MTU], 0), 1400);
	assert_int_equal(netlink_u32(attrs[IFLA_OPERSTATE], 99), 99);
	assert_int_equal(netlink_u32(attrs[IFLA_MASTER], 98), 98);
	assert_null(netlink_string(attrs[IFLA_IFNAME]));
	assert_null(netlink_string(NULL));
	assert_int_equal(netlink_parse_nested(attrs[IFLA_LINKINFO], info, IFLA_INFO_KIND), 0);
	assert_string_equal(netlink_string(info[IFLA_INFO_KIND]), "veth");
	assert_int_equal(netlink_parse_nested(NULL, info, IFLA_INFO_KIND), 0);
	assert_null(info[IFLA_INFO_KIND]);
}

static void lengths_that_lead_out_of_a_message_are_refused(void **state)
{
	static const uint16_t wrong[] = { 0, 3, 9, 0x7fff, 0xffff };
	const struct nlattr *attrs[IFLA_MTU + 1];
	struct ifinfomsg link = { 0 };
	struct netlink_message m;
	struct nlmsghdr *h = (struct nlmsghdr *)m.data;
	struct nlattr *a = (struct nlattr *)(m.data + NLMSG_HDRLEN + sizeof(link));

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		netlink_message_init(&m, RTM_NEWLINK, 0, &link, sizeof(link));
		netlink_put_u32(&m, IFLA_MTU, 1);
		h->nlmsg_len = (uint32_t)m.len;
		a->nla_len = wrong[i];
		assert_int_equal(netlink_parse(h, sizeof(link), attrs, IFLA_MTU), -EBADMSG);
	}
	a->nla_len = 8;
	h->nlmsg_len = NLMSG_HDRLEN + sizeof(link) - 1;
	assert_int_equal(netlink_parse(h, sizeof(link), attrs, IFLA_MTU), -EBADMSG);
	h->nlmsg_len = (uint32_t)m.len - 5; /* three bytes: less than an attribute's head */
	assert_int_equal(netlink_parse(h, sizeof(link), attrs, IFLA_MTU), -EBADMSG);
	h->nlmsg_len = 3;
	assert_null(netlink_header(h, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(links_are_made_listed_and_removed),
		leak_checked(one_link_is_asked_for_by_name),
		leak_checked(errors_carry_code_and_words_of_the_kernel),
		leak_checked(a_message_that_is_too_long_is_never_sent),
		leak_checked(a_callback_ends_a_dump_and_the_socket_stays_usable),
		leak_checked(a_long_dump_arrives_whole),
		leak_checked(events_are_read_without_waiting),
		leak_checked(lost_events_are_told),
		leak_checked(strangers_are_not_listened_to),
		leak_checked(attributes_are_sorted_and_read),
		leak_checked(lengths_that_lead_out_of_a_message_are_refused),
	};

	if (unshare(CLONE_NEWNET) < 0) {
		perror("unshare a network namespace");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
