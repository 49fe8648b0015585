/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/names_redirect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bpf.h"
#include "common/cleanup.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define CTX(field) ((int)offsetof(struct bpf_sock_addr, field))

/*
 * What a socket does, and which way its port is changed. An IPv6 socket may use the address as
 * ::ffff:127.0.0.11; what it sends unconnected passes by as IPv4.
 */
static const struct {
	enum bpf_attach_type type;
	bool ipv6, back;
} hooks[] = {
	{ BPF_CGROUP_INET4_CONNECT, false, false },
	{ BPF_CGROUP_UDP4_SENDMSG, false, false },
	{ BPF_CGROUP_UDP4_RECVMSG, false, true },
	{ BPF_CGROUP_INET6_CONNECT, true, false },
	{ BPF_CGROUP_UDP6_RECVMSG, true, true },
};

static void generate(struct bpf_program *p, bool ipv6, uint64_t netns, uint32_t address, uint16_t from, uint16_t to)
{
	p->n = 0;
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	bpf_emit_check(p, CTX(user_port), htons(from));
	if (ipv6) {
		bpf_emit_check(p, CTX(user_ip6[0]), 0);
		bpf_emit_check(p, CTX(user_ip6[1]), 0);
		bpf_emit_check(p, CTX(user_ip6[2]), htonl(0xffff));
	}
	bpf_emit_check(p, ipv6 ? CTX(user_ip6[3]) : CTX(user_ip4), address);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0);
	bpf_emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_netns_cookie);
	/* A 64-bit constant takes two instructions. */
	bpf_emit(p, BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, 0, 0, (int32_t)netns);
	bpf_emit(p, 0, 0, 0, 0, (int32_t)(netns >> 32));
	bpf_emit(p, BPF_JMP | BPF_JNE | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, htons(to));
	bpf_emit(p, BPF_STX | BPF_MEM | BPF_W, BPF_REG_6, BPF_REG_2, CTX(user_port), 0);
	for (int i = 0; i < p->n; i++) {
		int class = BPF_CLASS(p->insns[i].code);

		if ((class == BPF_JMP || class == BPF_JMP32) && BPF_OP(p->insns[i].code) == BPF_JNE)
			p->insns[i].off = (int16_t)(p->n - i - 1);
	}
	bpf_emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1);
	bpf_emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int attach(int cgroup_fd, const struct bpf_program *p, enum bpf_attach_type type)
{
	_cleanup_close_ int fd = bpf_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, type, p->insns, (size_t)p->n);
	union bpf_attr attr;

	if (fd < 0)
		return fd;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = type;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	return bpf_call(BPF_PROG_ATTACH, &attr);
}

int names_redirect(const char *cgroup, int fd, uint32_t address, uint16_t from, uint16_t to, struct err *err)
{
	_cleanup_close_ int cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t netns = 0;
	socklen_t len = sizeof(netns);
	struct bpf_program p;

	if (cgroup_fd < 0)
		return err_set_errno(err, -errno, "open '%s'", cgroup);
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &netns, &len) < 0)
		return err_set_errno(err, -errno, "identify the network namespace");
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		int rc;

		generate(&p, hooks[i].ipv6, netns, address, hooks[i].back ? to : from, hooks[i].back ? from : to);
		rc = attach(cgroup_fd, &p, hooks[i].type);
		if (rc < 0)
			return err_set_errno(err, rc, "lead port %u to port %u", from, to);
	}
	return 0;
}
