/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/monitor_role.h"

#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "shim/monitor.h"

/* ---- arguments ---- */

enum arg_kind { ARG_STRING, ARG_UINT, ARG_U64, ARG_BOOL };

static const struct arg {
	const char *name;
	enum arg_kind kind;
	size_t offset;
} arg_table[] = {
#define ARG(name, kind, member)                                   \
	{                                                         \
		name, kind, offsetof(struct monitor_args, member) \
	}
	ARG("--root", ARG_STRING, root),
	ARG("--id", ARG_STRING, id),
	ARG("--cri-sandbox-id", ARG_STRING, cri_sandbox_id),
	ARG("--netns-path", ARG_STRING, netns_path),
	ARG("--vcpus", ARG_UINT, vcpus),
	ARG("--memory-mib", ARG_U64, memory_mib),
	ARG("--pod-memory-bytes", ARG_U64, pod.memory_bytes),
	ARG("--pod-cpu-quota-us", ARG_U64, pod.cpu_quota_us),
	ARG("--pod-cpu-period-us", ARG_U64, pod.cpu_period_us),
	ARG("--trace", ARG_STRING, trace),
	ARG("--trace-start-us", ARG_U64, trace_start_us),
	ARG("--memory-max-mib", ARG_UINT, config.memory_max_mib),
	ARG("--vcpus-base", ARG_UINT, config.vcpus),
	ARG("--vcpus-max", ARG_UINT, config.vcpus_max),
	ARG("--engine-events", ARG_STRING, engine_events),
	ARG("--engine-namespace", ARG_STRING, engine_namespace),
	ARG("--engine-log", ARG_STRING, engine_log),
	ARG("--accel", ARG_STRING, config.accel),
	ARG("--driver", ARG_STRING, config.driver),
	ARG("--vmm", ARG_STRING, config.vmm),
	ARG("--kernel", ARG_STRING, config.kernel),
	ARG("--initrd", ARG_STRING, config.initrd),
	ARG("--file-server", ARG_STRING, config.file_server),
	ARG("--template", ARG_STRING, config.template),
	ARG("--template-dir", ARG_STRING, config.template_dir),
	ARG("--template-clones", ARG_UINT, config.template_clones),
	ARG("--template-hours", ARG_UINT, config.template_hours),
	ARG("--guest-memory-mib", ARG_UINT, config.memory_mib),
	ARG("--host-overhead-mib", ARG_UINT, config.host_overhead_mib),
	ARG("--boot-timeout-ms", ARG_UINT, config.boot_timeout_ms),
	ARG("--vhost-net", ARG_BOOL, config.vhost_net),
	ARG("--debug", ARG_BOOL, config.debug),
#undef ARG
};

/* Text of a member; NULL when it is not given. *ret is freed by the caller. */
static int format_arg(const struct monitor_args *args, const struct arg *arg, char **ret)
{
	const char *member = (const char *)args + arg->offset;
	const char *text;
	int n = 0;

	*ret = NULL;
	switch (arg->kind) {
	case ARG_STRING:
		text = *(char *const *)member;
		if (text)
			n = asprintf(ret, "%s=%s", arg->name, text);
		break;
	case ARG_UINT:
		n = asprintf(ret, "%s=%u", arg->name, *(const unsigned int *)member);
		break;
	case ARG_U64:
		n = asprintf(ret, "%s=%" PRIu64, arg->name, *(const uint64_t *)member);
		break;
	case ARG_BOOL:
		n = asprintf(ret, "%s=%d", arg->name, *(const bool *)member);
		break;
	}
	return n < 0 ? -ENOMEM : 0;
}

char **monitor_argv(const char *role, const struct monitor_args *args)
{
	char **argv = calloc(ARRAY_SIZE(arg_table) + 3, sizeof(*argv));
	size_t n = 0;

	if (!argv)
		return NULL;
	argv[n++] = strdup("onggi-monitor");
	argv[n++] = strdup(role);
	if (!argv[0] || !argv[1])
		goto fail;
	for (size_t i = 0; i < ARRAY_SIZE(arg_table); i++) {
		if (format_arg(args, &arg_table[i], &argv[n]) < 0) {
			argv[n] = NULL;
			goto fail;
		}
		if (argv[n])
			n++;
	}
	return argv;
fail:
	monitor_argv_free(argv);
	return NULL;
}

void monitor_argv_free(char **argv)
{
	for (char **arg = argv; arg && *arg; arg++)
		free(*arg);
	free(argv);
}

static int parse_value(struct monitor_args *args, const struct arg *arg, char *text)
{
	char *member = (char *)args + arg->offset;
	uint64_t number = 0;
	int r = 0;

	if (arg->kind == ARG_STRING) {
		*(char **)member = text;
		return 0;
	}
	r = io_parse_u64(text, arg->kind == ARG_U64 ? UINT64_MAX : UINT32_MAX, &number);
	if (r < 0)
		return r;
	if (arg->kind == ARG_U64)
		*(uint64_t *)member = number;
	else if (arg->kind == ARG_UINT)
		*(unsigned int *)member = (unsigned int)number;
	else
		*(bool *)member = number != 0;
	return 0;
}

static int parse_one(struct monitor_args *args, char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(arg_table); i++) {
		size_t len = strlen(arg_table[i].name);

		if (!strncmp(text, arg_table[i].name, len) && text[len] == '=')
			return parse_value(args, &arg_table[i], text + len + 1);
	}
	return -EINVAL;
}

int monitor_args_parse(int argc, char **argv, struct monitor_args *ret, struct err *err)
{
	struct monitor_args args = { 0 };

	for (int i = 2; i < argc; i++) {
		if (parse_one(&args, argv[i]) < 0)
			return err_set(err, -EINVAL, "argument '%s' is not understood", argv[i]);
	}
	if (!args.root || args.root[0] != '/' || !args.id || !args.config.accel ||
	    !args.config.driver || args.vcpus == 0 || args.memory_mib == 0 ||
	    args.config.boot_timeout_ms == 0)
		return err_set(err, -EINVAL, "the role '%s' is started by the other commands only",
			       argv[1]);
	*ret = args;
	return 0;
}

/* ---- readiness ---- */

/* One of these, and end of file. Shorter than PIPE_BUF: written whole. */
struct ready_message {
	int32_t code;
	char text[ERR_TEXT_MAX];
};

int monitor_ready_send(int fd, int code, const char *text)
{
	struct ready_message message = { .code = code };

	snprintf(message.text, sizeof(message.text), "%s", text);
	return io_write_all(fd, &message, sizeof(message));
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int monitor_ready_wait(int fd, struct err *err)
{
	struct ready_message message = { 0 };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t end = now_ms() + MONITOR_READY_TIMEOUT_MS, left;
	int n;

	do {
		left = end - now_ms();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(err, -errno, "wait for the sandbox monitor");
	if (n == 0)
		return err_set(err, -ETIMEDOUT, "the sandbox monitor was not ready within %d ms",
			       MONITOR_READY_TIMEOUT_MS);
	if (io_read_full(fd, &message, sizeof(message)) != (ssize_t)sizeof(message))
		return err_set(err, -EPIPE, "the sandbox monitor ended before it was ready");
	message.text[sizeof(message.text) - 1] = '\0';
	return message.code < 0 ? err_set(err, message.code, "%s", message.text) : 0;
}
