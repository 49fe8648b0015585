/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bpf.h"
#include "common/cleanup.h"

#define BACKLOG 128
/* Where the program keeps the key of its lookup, from the frame pointer. */
#define KEY_OFFSET (-4)

#define CTX(field) ((int)offsetof(struct bpf_sk_lookup, field))

static void emit_checks(struct bpf_program *p, int kind)
{
	bpf_emit_check(p, CTX(protocol), IPPROTO_TCP);
	if (kind == NET_LOOPBACK_IPV4) {
		bpf_emit_check(p, CTX(family), AF_INET);
		bpf_emit_check(p, CTX(local_ip4), htonl(INADDR_LOOPBACK));
		return;
	}
	bpf_emit_check(p, CTX(family), AF_INET6);
	for (int i = 0; i < 3; i++)
		bpf_emit_check(p, CTX(local_ip6) + i * (int)sizeof(uint32_t), 0);
	bpf_emit_check(p, CTX(local_ip6) + 3 * (int)sizeof(uint32_t), htonl(1));
}

/*
 * One kind's part: if all checks hold, assign the socket at key @kind of the map. The lookup goes on
 * below where they do not; what bpf_sk_assign says does not matter, there is nothing else to try.
 */
static void emit_part(struct bpf_program *p, int map_fd, int kind)
{
	int first = p->n;

	emit_checks(p, kind);
	bpf_emit(p, BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, KEY_OFFSET, kind);
	/* A 64-bit constant takes two instructions. */
	bpf_emit(p, BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd);
	bpf_emit(p, 0, 0, 0, 0, 0);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0);
	bpf_emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, KEY_OFFSET);
	bpf_emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	bpf_emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 7, 0);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_7, BPF_REG_0, 0, 0);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_0, 0, 0);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0);
	bpf_emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_assign);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_7, 0, 0);
	bpf_emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_release);
	for (int i = first; i < p->n; i++) {
		if (p->insns[i].code == (BPF_JMP32 | BPF_JNE | BPF_K))
			p->insns[i].off = (int16_t)(p->n - i - 1);
	}
}

static void generate(struct bpf_program *p, int map_fd)
{
	p->n = 0;
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	for (int kind = 0; kind < NET_LOOPBACK_COUNT; kind++)
		emit_part(p, map_fd, kind);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, SK_PASS);
	bpf_emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int make_map(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_SOCKMAP;
	attr.key_size = sizeof(uint32_t);
	attr.value_size = sizeof(uint64_t);
	attr.max_entries = NET_LOOPBACK_COUNT;
	return bpf_call(BPF_MAP_CREATE, &attr);
}

static int put_in_map(int map_fd, int kind, int fd)
{
	uint32_t key = (uint32_t)kind;
	uint64_t value = (uint64_t)fd;
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uint64_t)(uintptr_t)&key;
	attr.value = (uint64_t)(uintptr_t)&value;
	return bpf_call(BPF_MAP_UPDATE_ELEM, &attr);
}

/* The program is held by its link, the map by the program. */
static int attach(int map_fd, int *ret_link)
{
	_cleanup_close_ int netns = -EBADF, prog = -EBADF;
	union bpf_attr attr;
	struct bpf_program p;
	int r;

	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return -errno;
	generate(&p, map_fd);
	prog = bpf_load(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, p.insns, (size_t)p.n);
	if (prog < 0)
		return prog;
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_fd = (uint32_t)netns;
	attr.link_create.attach_type = BPF_SK_LOOKUP;
	r = bpf_call(BPF_LINK_CREATE, &attr);
	if (r >= 0)
		*ret_link = r;
	return r < 0 ? r : 0;
}

static int listen_on(int kind, int *ret_fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} address = { 0 };
	_cleanup_close_ int fd = -EBADF;
	socklen_t len = kind == NET_LOOPBACK_IPV4 ? sizeof(address.ipv4) : sizeof(address.ipv6);

	address.any.sa_family = kind == NET_LOOPBACK_IPV4 ? AF_INET : AF_INET6;
	if (kind == NET_LOOPBACK_IPV4)
		address.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.ipv6.sin6_addr = in6addr_loopback;
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, &address.any, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int take(struct net_loopback *loopback)
{
	_cleanup_close_ int map_fd = make_map();

	if (map_fd < 0)
		return map_fd;
	for (int kind = 0; kind < NET_LOOPBACK_COUNT; kind++) {
		int r = listen_on(kind, &loopback->listeners[kind]);

		if (r >= 0)
			r = put_in_map(map_fd, kind, loopback->listeners[kind]);
		if (r < 0 && (kind == NET_LOOPBACK_IPV4 || (r != -EADDRNOTAVAIL && r != -EAFNOSUPPORT)))
			return r;
	}
	return attach(map_fd, &loopback->link);
}

int net_loopback_take(struct net_loopback *ret, struct err *err)
{
	struct net_loopback loopback = NET_LOOPBACK_INIT;
	int r = take(&loopback);

	if (r < 0) {
		net_loopback_release(&loopback);
		return err_set_errno(err, r, "take connections to the loopback addresses of the network namespace");
	}
	*ret = loopback;
	return 0;
}

void net_loopback_release(struct net_loopback *loopback)
{
	cleanup_close_p(&loopback->link);
	for (int kind = 0; kind < NET_LOOPBACK_COUNT; kind++)
		cleanup_close_p(&loopback->listeners[kind]);
}
