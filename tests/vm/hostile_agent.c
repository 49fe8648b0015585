/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile_agent.c - what a guest is whose kernel and agent were taken over: PID 1 of a guest in the agent's place
 *
 * Theory of operation: it answers each call of the monitor with something plausible, so that containers seem to be
 * created, started and executed in, though nothing of the kind happens. A plan says where it misbehaves:
 *
 *   plan   = item ";" item …            in the file /plan of the initramfs, and, at any time later, in an argument
 *   item   = METHOD "=" ACTION [":" N]   "plan:…" of the process that a CreateContainer or an AddProcess brings
 *
 * METHOD is one of the agent's, or "now": the action is done when the process has been started, which has no time limit. A later item about a method replaces the former.
 * ACTION is a row of actions[], or "absurd" or "big", which answers.c knows for the methods that have an answer. The
 * output of an executed process is what the plan's "now" actions have to tell.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/proto/agent.pb-c.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc.h"
#include "common/ttrpc_frame.h"
#include "common/ttrpc_wire.h"
#include "tests/vm/hostile.h"

#define RULES_MAX 64
#define PROCS_MAX 256
#define MIB (1u << 20)

struct rule {
	char method[32], action[32];
	unsigned long n;
};

struct proc {
	char key[160]; /* container and exec */
	bool init, ended;
	uint32_t status;
	uint32_t wait, reads[2]; /* streams of calls that wait, 0: none */
	char *output;
};

static struct rule rules[RULES_MAX];
static size_t n_rules;
static struct proc procs[PROCS_MAX];
static size_t n_procs;
static int port = -1;
static bool drips;
static unsigned int copies = 1;
static uint64_t oom_kills;
static uint64_t query_id, n_answers;
static char *report; /* of what was done last */
static struct rule later[RULES_MAX]; /* "now", of a process that is to be executed */
static size_t n_later;

/* What a terminal must never see raw: escapes, a line of its own, C1 controls in both spellings. */
static const char evil[] = "evil\033[31m\033]0;title\007\nerror onggi: forged line\r\n\x9b" "31m\xc2\x9b" "31m\x7f\b\b";

/* ---- sending ---- */

static void put(const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(port, p, drips ? 1 : len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
		if (drips)
			sleep(1);
	}
}

static void put_header(uint32_t len, uint32_t stream, uint8_t type)
{
	const struct ttrpc_header header = { .length = len, .stream = stream, .type = type };
	uint8_t bytes[TTRPC_HEADER_BYTES];

	ttrpc_header_encode(&header, bytes);
	put(bytes, sizeof(bytes));
}

static void put_packet(struct ttrpc_packet *packet)
{
	for (unsigned int i = 0; i < copies; i++)
		put(packet->bytes, packet->len);
	free(packet);
}

static void reply(uint32_t stream, const ProtobufCMessage *message)
{
	struct ttrpc_packet *packet;

	if (wire_pack_reply(stream, message, &packet) == 0)
		put_packet(packet);
}

static void reply_empty(uint32_t stream)
{
	const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

	reply(stream, &empty.base);
}

/* A text of @len bytes made of evil ones. */
static char *evil_text(size_t len)
{
	char *text = malloc(len + 1);

	if (!text)
		abort();
	for (size_t i = 0; i < len; i++)
		text[i] = evil[i % (sizeof(evil) - 1)];
	text[len] = '\0';
	return text;
}

/* wire_pack_status would clean it. */
static void reply_status(uint32_t stream, int32_t code, char *text)
{
	Onggi__Ttrpc__Response response = ONGGI__TTRPC__RESPONSE__INIT;
	Onggi__Ttrpc__Status status = ONGGI__TTRPC__STATUS__INIT;
	uint8_t *bytes;
	size_t len;

	status.code = code;
	status.message = text;
	response.status = &status;
	len = onggi__ttrpc__response__get_packed_size(&response);
	bytes = malloc(len);
	onggi__ttrpc__response__pack(&response, bytes);
	for (unsigned int i = 0; i < copies; i++) {
		put_header((uint32_t)len, stream, TTRPC_FRAME_RESPONSE);
		put(bytes, len);
	}
	free(bytes);
}

/* ---- processes that do not exist ---- */

static struct proc *proc_of(const char *container, const char *exec)
{
	char key[sizeof(procs[0].key)];
	struct proc *p;

	snprintf(key, sizeof(key), "%s/%s", container, exec);
	for (size_t i = 0; i < n_procs; i++) {
		if (!strcmp(procs[i].key, key))
			return &procs[i];
	}
	p = &procs[n_procs < PROCS_MAX ? n_procs++ : PROCS_MAX - 1];
	free(p->output);
	*p = (struct proc){ .init = !exec[0] };
	memcpy(p->key, key, sizeof(key));
	return p;
}

static void answer_read(uint32_t stream, const char *text)
{
	Onggi__Agent__V1__ReadOutputResponse answer = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;

	answer.data.data = (uint8_t *)(uintptr_t)(text ? text : "");
	answer.data.len = text ? strlen(text) : 0;
	answer.eof = true;
	reply(stream, &answer.base);
}

static void answer_wait(uint32_t stream, uint32_t status)
{
	Onggi__Agent__V1__WaitProcessResponse answer = ONGGI__AGENT__V1__WAIT_PROCESS_RESPONSE__INIT;

	answer.exit_status = status;
	reply(stream, &answer.base);
}

static void proc_end(struct proc *p, uint32_t status)
{
	p->ended = true;
	p->status = status;
	if (p->wait)
		answer_wait(p->wait, status);
	for (int i = 0; i < 2; i++) {
		if (p->reads[i])
			answer_read(p->reads[i], NULL);
		p->reads[i] = 0;
	}
	p->wait = 0;
}

/* ---- the plan ---- */

static void do_now(const struct rule *rule);

static void add_rule(const char *text)
{
	struct rule r = { .n = 0 };

	if (sscanf(text, "%31[^=]=%31[^:]:%lu", r.method, r.action, &r.n) < 2)
		return;
	if (!strcmp(r.method, "now")) {
		if (n_later < RULES_MAX)
			later[n_later++] = r;
		return;
	}
	for (size_t i = 0; i < n_rules; i++) {
		if (!strcmp(rules[i].method, r.method)) {
			rules[i] = r;
			return;
		}
	}
	if (n_rules < RULES_MAX)
		rules[n_rules++] = r;
}

static void read_plan(char *text)
{
	char *item, *rest = text;

	text[strcspn(text, "\"\n")] = '\0';
	while ((item = strsep(&rest, ";")))
		add_rule(item);
}

/* In JSON: up to the quotation mark. */
static void plan_in(const ProtobufCBinaryData *json)
{
	char *text = strndup((const char *)json->data, json->len), *plan = strstr(text, "plan:");

	if (plan)
		read_plan(plan + 5);
	free(text);
}

void hostile_tell(const char *fmt, ...)
{
	char *grown, line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (asprintf(&grown, "%s%s\n", report ? report : "", line) < 0)
		abort();
	free(report);
	report = grown;
}

/* ---- what can be done to a call, or without one ---- */

static void write_console(unsigned long mib)
{
	int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	char *text = evil_text(4096);

	for (unsigned long i = 0; fd >= 0 && i < mib * (MIB / 4096); i++) {
		if (write(fd, text, 4096) < 0)
			break;
	}
	close(fd);
	free(text);
}

/* Frames for streams that nobody asked on, with a payload of @len bytes each. */
static void flood(unsigned long n, size_t len)
{
	size_t size = TTRPC_HEADER_BYTES + len, per = size < 65536 ? 65536 / size : 1;
	uint8_t *batch = calloc(per, size);

	for (size_t i = 0; i < per; i++) {
		const struct ttrpc_header header = { .length = (uint32_t)len,
						     .stream = 0x7fff0001u + 2 * (uint32_t)i,
						     .type = (uint8_t)(i % 3 == 2 ? 3 : 2) };

		ttrpc_header_encode(&header, batch + i * size);
	}
	for (unsigned long i = 0; i < n; i += per)
		put(batch, per * size);
	free(batch);
}

static void power(int how)
{
	reboot(how);
	for (;;)
		pause();
}

static int open_port(void)
{
	for (;;) {
		DIR *dir = opendir("/dev");
		const struct dirent *entry;
		int fd = -1;

		while (dir && fd < 0 && (entry = readdir(dir))) {
			if (!strncmp(entry->d_name, "vport", 5))
				fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC);
		}
		if (dir)
			closedir(dir);
		if (fd >= 0)
			return fd;
		usleep(2000);
	}
}

static void reopen_port(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		close(port);
		port = open_port();
	}
}

static void do_now(const struct rule *rule)
{
	if (!strcmp(rule->action, "console"))
		write_console(rule->n);
	else if (!strcmp(rule->action, "tiny"))
		flood(rule->n, 0);
	else if (!strcmp(rule->action, "large"))
		flood(rule->n, TTRPC_PAYLOAD_MAX);
	else if (!strcmp(rule->action, "reopen"))
		reopen_port(rule->n);
	else if (!strcmp(rule->action, "count"))
		hostile_tell("%llu", (unsigned long long)n_answers);
	else if (!strcmp(rule->action, "share"))
		hostile_share();
	else if (!strcmp(rule->action, "end"))
		proc_end(&procs[0], (uint32_t)rule->n);
	else
		hostile_tell("no action '%s'", rule->action);
}

/* Whether @rule is one that every call knows, and has been carried out on that of @stream. */
static bool misbehave(const struct rule *rule, uint32_t stream)
{
	_cleanup_free_ char *text = NULL;

	if (!strcmp(rule->action, "silent"))
		return true;
	if (!strcmp(rule->action, "code")) {
		text = evil_text(400);
		reply_status(stream, (int32_t)rule->n, text);
	} else if (!strcmp(rule->action, "long")) {
		text = evil_text(TTRPC_PAYLOAD_MAX - 64);
		reply_status(stream, TTRPC_INTERNAL, text);
	} else if (!strcmp(rule->action, "garbage")) {
		put_header(64, stream, TTRPC_FRAME_RESPONSE);
		put(evil, sizeof(evil));
		put(evil, 64 - sizeof(evil));
	} else if (!strcmp(rule->action, "zero")) {
		put_header(0, stream, TTRPC_FRAME_RESPONSE);
	} else if (!strcmp(rule->action, "short")) {
		put_header(1000, stream, TTRPC_FRAME_RESPONSE);
		put(evil, 10);
	} else if (!strcmp(rule->action, "over")) {
		text = evil_text(TTRPC_PAYLOAD_MAX + 1);
		put_header(TTRPC_PAYLOAD_MAX + 1, stream, TTRPC_FRAME_RESPONSE);
		put(text, TTRPC_PAYLOAD_MAX + 1);
	} else if (!strcmp(rule->action, "endless")) {
		put_header(UINT32_MAX, stream, TTRPC_FRAME_RESPONSE);
	} else if (!strcmp(rule->action, "astray")) {
		put_header(0, stream + 1, TTRPC_FRAME_RESPONSE);
		put_header(0, stream ^ 0x80000000u, TTRPC_FRAME_RESPONSE);
		put_header(0, 0, TTRPC_FRAME_RESPONSE);
	} else if (!strcmp(rule->action, "type")) {
		put_header(0, stream, TTRPC_FRAME_REQUEST);
		put_header(0, stream, 255);
	} else if (!strcmp(rule->action, "drip")) {
		drips = true;
		reply_empty(stream);
	} else if (!strcmp(rule->action, "poweroff")) {
		power(RB_POWER_OFF);
	} else if (!strcmp(rule->action, "reboot")) {
		power(RB_AUTOBOOT);
	} else if (!strcmp(rule->action, "panic")) {
		exit(1);
	} else if (!strcmp(rule->action, "reopen")) {
		reopen_port(rule->n);
	} else {
		return false;
	}
	return true;
}

/* ---- the methods with an answer of their own ---- */

struct request {
	uint32_t stream;
	const ProtobufCBinaryData *payload;
	const struct rule *rule; /* NULL: behave */
};

static bool is(const struct request *r, const char *action)
{
	return r->rule && !strcmp(r->rule->action, action);
}

#define UNPACK(type, r) ((void *)protobuf_c_message_unpack(&(type), NULL, (r)->payload->len, (r)->payload->data))

static void configure(const struct request *r)
{
	Onggi__Agent__V1__ConfigureResponse answer = ONGGI__AGENT__V1__CONFIGURE_RESPONSE__INIT;
	_cleanup_free_ char *text = evil_text(MIB);

	answer.version = answer.kernel_release = is(r, "big") ? text : (char *)(uintptr_t)"6.6.6";
	answer.memory_total_bytes = answer.memory_free_bytes = is(r, "absurd") ? UINT64_MAX : 1;
	answer.cpus = is(r, "absurd") ? UINT32_MAX : 1;
	reply(r->stream, &answer.base);
}

static void create_container(const struct request *r)
{
	Onggi__Agent__V1__CreateContainerResponse answer = ONGGI__AGENT__V1__CREATE_CONTAINER_RESPONSE__INIT;
	_cleanup_free_ char *text = evil_text(1000);
	static char *warnings[4000];

	for (size_t i = 0; i < sizeof(warnings) / sizeof(*warnings); i++)
		warnings[i] = text;
	answer.pid = 2;
	if (is(r, "big")) {
		answer.warnings = warnings;
		answer.n_warnings = sizeof(warnings) / sizeof(*warnings);
	}
	reply(r->stream, &answer.base);
}

static void start_process(const struct request *r)
{
	Onggi__Agent__V1__StartProcessResponse answer = ONGGI__AGENT__V1__START_PROCESS_RESPONSE__INIT;
	Onggi__Agent__V1__ProcessRef *ref = UNPACK(onggi__agent__v1__process_ref__descriptor, r);
	struct proc *p = proc_of(ref->container_id, ref->exec_id);

	answer.pid = is(r, "absurd") ? UINT32_MAX : 3;
	reply(r->stream, &answer.base);
	if (p->init)
		return;
	for (size_t i = 0; i < n_later; i++)
		do_now(&later[i]);
	n_later = 0;
	p->output = report;
	report = NULL;
	proc_end(p, 0);
}

static void wait_process(const struct request *r)
{
	Onggi__Agent__V1__ProcessRef *ref = UNPACK(onggi__agent__v1__process_ref__descriptor, r);
	struct proc *p = proc_of(ref->container_id, ref->exec_id);

	if (is(r, "absurd"))
		answer_wait(r->stream, (uint32_t)r->rule->n);
	else if (p->ended)
		answer_wait(r->stream, p->status);
	else
		p->wait = r->stream;
}

static void read_output(const struct request *r)
{
	Onggi__Agent__V1__ReadOutputResponse answer = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;
	Onggi__Agent__V1__ReadOutputRequest *m = UNPACK(onggi__agent__v1__read_output_request__descriptor, r);
	struct proc *p = proc_of(m->container_id, m->exec_id);
	static uint8_t bytes[2 * MIB];

	if (r->rule && p->init && !p->ended) {
		/* As much as was asked for, or more: "absurd:N" is N bytes too many. */
		answer.data.data = bytes;
		answer.data.len = m->max_bytes + (is(r, "absurd") ? r->rule->n : 0);
		if (answer.data.len > sizeof(bytes))
			answer.data.len = sizeof(bytes);
		reply(r->stream, &answer.base);
	} else if (p->init && !p->ended) {
		p->reads[m->stream == 2] = r->stream;
	} else {
		answer_read(r->stream, m->stream == 1 ? p->output : NULL);
	}
	onggi__agent__v1__read_output_request__free_unpacked(m, NULL);
}

static void write_input(const struct request *r)
{
	Onggi__Agent__V1__WriteInputResponse answer = ONGGI__AGENT__V1__WRITE_INPUT_RESPONSE__INIT;
	Onggi__Agent__V1__WriteInputRequest *m = UNPACK(onggi__agent__v1__write_input_request__descriptor, r);

	answer.written = (uint32_t)m->data.len + (is(r, "absurd") ? 1 : 0);
	reply(r->stream, &answer.base);
}

static void signal_process(const struct request *r)
{
	Onggi__Agent__V1__SignalProcessRequest *m = UNPACK(onggi__agent__v1__signal_process_request__descriptor, r);

	reply_empty(r->stream);
	proc_end(proc_of(m->container_id, m->exec_id), 128 + m->signal);
}

static void list_processes(const struct request *r)
{
	Onggi__Agent__V1__ListProcessesResponse answer = ONGGI__AGENT__V1__LIST_PROCESSES_RESPONSE__INIT;
	size_t n = is(r, "absurd") ? r->rule->n : 1;
	Onggi__Agent__V1__GuestProcess *list = calloc(n, sizeof(*list)), **p = calloc(n, sizeof(*p));
	_cleanup_free_ char *text = evil_text(is(r, "big") ? TTRPC_PAYLOAD_MAX - 256 : 64);

	for (size_t i = 0; i < n; i++) {
		onggi__agent__v1__guest_process__init(&list[i]);
		list[i].pid = UINT32_MAX;
		list[i].command = is(r, "absurd") ? (char *)(uintptr_t)"" : text;
		p[i] = &list[i];
	}
	answer.processes = p;
	answer.n_processes = n;
	reply(r->stream, &answer.base);
	free(p);
	free(list);
}

static void stat_container(const struct request *r)
{
	Onggi__Agent__V1__StatContainerResponse answer = ONGGI__AGENT__V1__STAT_CONTAINER_RESPONSE__INIT;
	Onggi__Agent__V1__InterfaceStat card = ONGGI__AGENT__V1__INTERFACE_STAT__INIT, *cards[100];
	Onggi__Agent__V1__Counter usage = ONGGI__AGENT__V1__COUNTER__INIT, *counters[100];
	_cleanup_free_ char *text = evil_text(is(r, "big") ? 30000 : 64);

	answer.memory_current = answer.memory_max = answer.pids_current = UINT64_MAX;
	usage.key = (char *)(uintptr_t)"usage_usec";
	usage.value = UINT64_MAX;
	card.name = text;
	card.rx_bytes = UINT64_MAX;
	for (size_t i = 0; i < 100; i++) {
		cards[i] = &card;
		counters[i] = &usage;
	}
	answer.interfaces = cards;
	answer.n_interfaces = 100;
	answer.cpu_stat = counters;
	answer.n_cpu_stat = 100;
	reply(r->stream, &answer.base);
}

static void wait_oom(const struct request *r)
{
	Onggi__Agent__V1__WaitOomResponse answer = ONGGI__AGENT__V1__WAIT_OOM_RESPONSE__INIT;

	if (!r->rule)
		return;
	answer.oom_kills = ++oom_kills;
	reply(r->stream, &answer.base);
}

static void next_query(const struct request *r)
{
	Onggi__Agent__V1__NextQueryResponse answer = ONGGI__AGENT__V1__NEXT_QUERY_RESPONSE__INIT;
	static uint8_t server[] = { 127, 0, 0, 11 }, query[65535];

	if (!r->rule)
		return;
	answer.id = query_id++;
	answer.server = (ProtobufCBinaryData){ sizeof(server), server };
	answer.query = (ProtobufCBinaryData){ is(r, "absurd") ? sizeof(query) : 12, query };
	answer.tcp = true;
	reply(r->stream, &answer.base);
}

static void update_machine(const struct request *r)
{
	Onggi__Agent__V1__UpdateMachineResponse answer = ONGGI__AGENT__V1__UPDATE_MACHINE_RESPONSE__INIT;

	answer.memory_bytes = is(r, "absurd") ? UINT64_MAX : 0;
	answer.cpus = is(r, "absurd") ? UINT32_MAX : 0;
	reply(r->stream, &answer.base);
}

static const struct {
	const char *name;
	void (*handle)(const struct request *r);
} methods[] = {
	{ "Configure", configure },	   { "CreateContainer", create_container },
	{ "StartProcess", start_process },
	{ "WaitProcess", wait_process },   { "ReadOutput", read_output },
	{ "WriteInput", write_input },	   { "SignalProcess", signal_process },
	{ "ListProcesses", list_processes }, { "StatContainer", stat_container },
	{ "WaitOom", wait_oom },	   { "NextQuery", next_query },
	{ "UpdateMachine", update_machine },
};

/* ---- serving ---- */

static void learn(const char *method, const ProtobufCBinaryData *payload)
{
	if (!strcmp(method, "CreateContainer")) {
		Onggi__Agent__V1__CreateContainerRequest *m = onggi__agent__v1__create_container_request__unpack(
			NULL, payload->len, payload->data);

		struct proc *p = proc_of(m->container_id, "");

		/* One of that name may have been before. */
		p->ended = false;
		p->wait = p->reads[0] = p->reads[1] = 0;
		plan_in(&m->spec);
	} else if (!strcmp(method, "AnswerQuery")) {
		n_answers++;
	} else if (!strcmp(method, "AddProcess")) {
		Onggi__Agent__V1__AddProcessRequest *m =
			onggi__agent__v1__add_process_request__unpack(NULL, payload->len, payload->data);

		plan_in(&m->process);
	}
}

static void serve(const struct ttrpc_frame *frame)
{
	Onggi__Ttrpc__Request *call = onggi__ttrpc__request__unpack(NULL, frame->header.length, frame->payload);
	struct request r = { .stream = frame->header.stream };

	if (!call)
		return;
	r.payload = &call->payload;
	learn(call->method, &call->payload);
	for (size_t i = 0; i < n_rules; i++) {
		if (!strcmp(rules[i].method, call->method) || !strcmp(rules[i].method, "all"))
			r.rule = &rules[i];
	}
	copies = is(&r, "twice") ? 2 : 1;
	if (!r.rule || !misbehave(r.rule, r.stream)) {
		size_t i = 0;

		while (i < sizeof(methods) / sizeof(*methods) && strcmp(methods[i].name, call->method) != 0)
			i++;
		if (i < sizeof(methods) / sizeof(*methods))
			methods[i].handle(&r);
		else
			reply_empty(r.stream);
	}
	copies = 1;
	onggi__ttrpc__request__free_unpacked(call, NULL);
}

int main(void)
{
	static struct ttrpc_reader reader;
	static char plan[4096];
	int fd;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	port = open_port();
	fd = open("/plan", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, plan, sizeof(plan) - 1) > 0)
		read_plan(plan);
	close(fd);
	ttrpc_reader_init(&reader, TTRPC_FRAME_REQUEST);
	for (;;) {
		struct pollfd p = { .fd = port, .events = POLLIN };
		struct ttrpc_frame frame;

		/* Without a host at the other end the port is hung up, and reads nothing. */
		if (poll(&p, 1, -1) < 0 || (p.revents & POLLHUP) || ttrpc_reader_fill(&reader, port) < 0) {
			usleep(10000);
			continue;
		}
		while (ttrpc_reader_next(&reader, &frame) > 0) {
			if (!frame.oversize)
				serve(&frame);
			free(frame.payload);
		}
	}
}
