/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "shim/runtime/command.h"
#include "shim/runtime/container.h"

struct values {
	const char *format;
};

static const struct option_row options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct values, format),
	  "\"table\" (default): processes as the guest sees them; \"json\": their pids on the host" },
	OPTIONS_END,
};

/* On the host a container is its proxy. */
static void print_host_pids(const struct container *c)
{
	if (c->status == CONTAINER_STOPPED || c->record->proxy.pid <= 0)
		puts("null");
	else
		printf("[%d]\n", (int)c->record->proxy.pid);
}

/* Commands are the guest's words: control characters are for no terminal. */
static void print_command(const char *command)
{
	for (const unsigned char *s = (const unsigned char *)command; *s; s++)
		putchar(*s < 0x20 || *s >= 0x7f ? '?' : *s);
	putchar('\n');
}

static int print_guest_processes(const struct container *c, struct err *err)
{
	_cleanup_(client_destroy_p) struct client *client = NULL;
	struct client_guest_process *list = NULL;
	size_t n = 0;
	int r;

	printf("%10s %s\n", "PID", "CMD");
	if (c->status == CONTAINER_STOPPED)
		return 0;
	r = container_connect(c, &client, err);
	if (r < 0)
		return r;
	r = client_processes(client, c->record->id, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		printf("%10u ", list[i].pid);
		print_command(list[i].command);
	}
	client_processes_free(list, n);
	return 0;
}

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	const struct values *v = values;
	bool json = false;
	int r;

	r = options_parse_format(v->format, &json, err);
	if (r < 0)
		return r;
	r = container_open(rt, args[0], &c, err);
	if (r < 0)
		return r;
	if (json) {
		print_host_pids(c);
		return 0;
	}
	if (args[1])
		return err_set(
			err, -EOPNOTSUPP,
			"ps option '%s': the processes are the guest's, the host's ps does not see them",
			args[1]);
	return print_guest_processes(c, err);
}

const struct command cmd_ps = {
	.name = "ps",
	.arguments = "<container-id>",
	.summary = "list the processes of a container",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = COMMAND_ARGS_ANY,
	.failure_code = 1,
	.run = run,
};
