/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_claims.h - what the agent promises the host, as tests over one ttrpc connection
 *
 * Included by a program that has an agent at the other end: test_agent_service.c runs one in
 * namespaces of this machine, tests/vm/agent_driver.c boots one in a guest. The rootfs that containers use is the
 * folder "busybox" of the share.
 */
#ifndef ONGGI_TESTS_AGENT_CLAIMS_H
#define ONGGI_TESTS_AGENT_CLAIMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "common/proto/agent.pb-c.h"
#include "common/ttrpc.h"

#define AGENT_SERVICE "onggi.agent.v1.Agent"
/* A call that takes longer than this is a hang. */
#define AGENT_CALL_MS 200000u

static struct {
	struct loop *loop;
	struct ttrpc_client *client;
	/* Text of the last failed call. */
	struct err err;
	/* Bytes of the burst that is read: guests under emulation get a smaller one. */
	size_t burst_bytes;
} peer;

/* ---- calls ---- */

/* Returns 0 or the status as a negative errno; *ret is the caller's. */
static int call(const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
		void *ret)
{
	peer.err = (struct err)ERR_INIT;
	return ttrpc_client_call_wait(peer.client, peer.loop, AGENT_SERVICE, method, request, response,
				      AGENT_CALL_MS, ret, &peer.err);
}

#define EMPTY &onggi__agent__v1__empty__descriptor

#define assert_call(expr)                                                                     \
	do {                                                                                  \
		int _rc = (expr);                                                             \
		if (_rc < 0)                                                                  \
			print_error("%s: %d %s\n", #expr, _rc, peer.err.text);                \
		assert_int_equal(_rc, 0);                                                     \
	} while (0)

#define assert_status(expr, status) assert_int_equal((expr), ttrpc_code_to_errno(status))

static char *json_args(const char *const *args, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; args[i]; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s\"%s\"", i ? "," : "", args[i]);
	assert_true(used < size);
	return buf;
}

/* @args: words without characters that JSON would escape. */
static void json_process(const char *const *args, bool terminal, char *buf, size_t size)
{
	char list[2048];

	snprintf(buf, size,
		 "{\"terminal\":%s,%s\"user\":{\"uid\":0,\"gid\":0},\"args\":[%s],"
		 "\"env\":[\"PATH=/bin\",\"TERM=xterm\"],\"cwd\":\"/\","
		 "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],"
		 "\"permitted\":[\"CAP_KILL\"]},\"noNewPrivileges\":true}",
		 terminal ? "true" : "false",
		 terminal ? "\"consoleSize\":{\"height\":30,\"width\":90}," : "",
		 json_args(args, list, sizeof(list)));
}

static void json_spec(const char *const *args, bool terminal, const char *resources, char *buf, size_t size)
{
	char process[4096];

	json_process(args, terminal, process, sizeof(process));
	snprintf(buf, size,
		 "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"hostname\":\"jar\",\"process\":%s,"
		 "\"mounts\":["
		 "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		 "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"mode=755\"]},"
		 "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"newinstance\","
		 "\"ptmxmode=0666\",\"mode=0620\"]},"
		 "{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],"
		 "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},"
		 "{\"type\":\"uts\"},{\"type\":\"network\"}]%s%s}}",
		 process, resources ? ",\"resources\":" : "", resources ? resources : "");
}

static int create_with(const char *id, const char *const *args, bool terminal, const char *resources)
{
	Onggi__Agent__V1__CreateContainerRequest request = ONGGI__AGENT__V1__CREATE_CONTAINER_REQUEST__INIT;
	Onggi__Agent__V1__CreateContainerResponse *response = NULL;
	char spec[8192];
	int rc;

	json_spec(args, terminal, resources, spec, sizeof(spec));
	request.container_id = (char *)id;
	request.rootfs = (char *)"/run/onggi/share/busybox";
	request.spec.data = (uint8_t *)spec;
	request.spec.len = strlen(spec);
	rc = call("CreateContainer", &request.base, &onggi__agent__v1__create_container_response__descriptor,
		  &response);
	if (rc == 0) {
		assert_true(response->pid > 1);
		protobuf_c_message_free_unpacked(&response->base, NULL);
	}
	return rc;
}

static int ref(const char *method, const char *id, const char *exec_id)
{
	Onggi__Agent__V1__ProcessRef request = ONGGI__AGENT__V1__PROCESS_REF__INIT;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	return call(method, &request.base, EMPTY, NULL);
}

static int container_call(const char *method, const char *id)
{
	Onggi__Agent__V1__ContainerRef request = ONGGI__AGENT__V1__CONTAINER_REF__INIT;

	request.container_id = (char *)id;
	return call(method, &request.base, EMPTY, NULL);
}

static int start(const char *id, const char *exec_id)
{
	Onggi__Agent__V1__ProcessRef request = ONGGI__AGENT__V1__PROCESS_REF__INIT;
	Onggi__Agent__V1__StartProcessResponse *response = NULL;
	int rc;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	rc = call("StartProcess", &request.base, &onggi__agent__v1__start_process_response__descriptor, &response);
	if (rc == 0) {
		assert_true(response->pid > 1);
		protobuf_c_message_free_unpacked(&response->base, NULL);
	}
	return rc;
}

static int add(const char *id, const char *exec_id, const char *const *args, bool terminal)
{
	Onggi__Agent__V1__AddProcessRequest request = ONGGI__AGENT__V1__ADD_PROCESS_REQUEST__INIT;
	char process[4096];

	json_process(args, terminal, process, sizeof(process));
	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	request.process.data = (uint8_t *)process;
	request.process.len = strlen(process);
	return call("AddProcess", &request.base, EMPTY, NULL);
}

static int wait_for(const char *id, const char *exec_id, uint32_t *ret_status, bool *ret_oom)
{
	Onggi__Agent__V1__ProcessRef request = ONGGI__AGENT__V1__PROCESS_REF__INIT;
	Onggi__Agent__V1__WaitProcessResponse *response = NULL;
	int rc;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	rc = call("WaitProcess", &request.base, &onggi__agent__v1__wait_process_response__descriptor, &response);
	if (rc < 0)
		return rc;
	assert_true(response->exited_at_ns > 0);
	*ret_status = response->exit_status;
	if (ret_oom)
		*ret_oom = response->oom_killed;
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return 0;
}

static int signal_process(const char *id, const char *exec_id, uint32_t signo, bool all)
{
	Onggi__Agent__V1__SignalProcessRequest request = ONGGI__AGENT__V1__SIGNAL_PROCESS_REQUEST__INIT;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	request.signal = signo;
	request.all = all;
	return call("SignalProcess", &request.base, EMPTY, NULL);
}

/* One ReadOutput: bytes appended to @buf at *used. */
static int read_once(const char *id, const char *exec_id, uint32_t stream, uint32_t max, char *buf, size_t size,
		     size_t *used, bool *eof)
{
	Onggi__Agent__V1__ReadOutputRequest request = ONGGI__AGENT__V1__READ_OUTPUT_REQUEST__INIT;
	Onggi__Agent__V1__ReadOutputResponse *response = NULL;
	int rc;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	request.stream = stream;
	request.max_bytes = max;
	rc = call("ReadOutput", &request.base, &onggi__agent__v1__read_output_response__descriptor, &response);
	if (rc < 0)
		return rc;
	assert_true(response->data.len <= max);
	assert_true(response->data.len || response->eof);
	assert_true(*used + response->data.len < size);
	if (response->data.len)
		memcpy(buf + *used, response->data.data, response->data.len);
	*used += response->data.len;
	*eof = response->eof;
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return 0;
}

/* Everything of a stream up to its end, NUL-terminated. */
static void read_all(const char *id, const char *exec_id, uint32_t stream, char *buf, size_t size)
{
	size_t used = 0;
	bool eof = false;

	while (!eof)
		assert_call(read_once(id, exec_id, stream, 4096, buf, size, &used, &eof));
	buf[used] = '\0';
}

static int write_input(const char *id, const char *exec_id, const char *data, size_t len, uint32_t *ret_written)
{
	Onggi__Agent__V1__WriteInputRequest request = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	Onggi__Agent__V1__WriteInputResponse *response = NULL;
	int rc;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	request.data.data = (uint8_t *)data;
	request.data.len = len;
	rc = call("WriteInput", &request.base, &onggi__agent__v1__write_input_response__descriptor, &response);
	if (rc < 0)
		return rc;
	*ret_written = response->written;
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return 0;
}

static int close_output(const char *id, const char *exec_id, uint32_t stream)
{
	Onggi__Agent__V1__CloseOutputRequest request = ONGGI__AGENT__V1__CLOSE_OUTPUT_REQUEST__INIT;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	request.stream = stream;
	return call("CloseOutput", &request.base, EMPTY, NULL);
}

static int resize(const char *id, const char *exec_id, uint32_t columns, uint32_t rows)
{
	Onggi__Agent__V1__ResizeTerminalRequest request = ONGGI__AGENT__V1__RESIZE_TERMINAL_REQUEST__INIT;

	request.container_id = (char *)id;
	request.exec_id = (char *)exec_id;
	request.columns = columns;
	request.rows = rows;
	return call("ResizeTerminal", &request.base, EMPTY, NULL);
}

/* ---- shorthands ---- */

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SH(script) ARGS("/bin/sh", "-c", script)

static void run_container(const char *id, const char *const *args)
{
	assert_call(create_with(id, args, false, NULL));
	assert_call(start(id, ""));
}

static void run_exec(const char *id, const char *exec_id, const char *const *args)
{
	assert_call(add(id, exec_id, args, false));
	assert_call(start(id, exec_id));
}

static void expect_end(const char *id, const char *exec_id, uint32_t want)
{
	uint32_t status = 0;

	assert_call(wait_for(id, exec_id, &status, NULL));
	assert_int_equal(status, want);
}

static void expect_output(const char *id, const char *exec_id, uint32_t stream, const char *want)
{
	char buf[65536];

	read_all(id, exec_id, stream, buf, sizeof(buf));
	assert_string_equal(buf, want);
}

static void remove_container(const char *id)
{
	assert_call(container_call("RemoveContainer", id));
	assert_status(container_call("RemoveContainer", id), TTRPC_NOT_FOUND);
}

/* ---- claims ---- */

static void container_prints_and_ends(void **state)
{
	run_container("c", SH("echo out; echo err >&2; hostname"));
	expect_output("c", "", 1, "out\njar\n");
	expect_output("c", "", 2, "err\n");
	expect_end("c", "", 0);
	expect_end("c", "", 0);
	remove_container("c");
}

static void exit_status_is_the_code_or_128_plus_signal(void **state)
{
	run_container("c", SH("exit 7"));
	expect_end("c", "", 7);
	remove_container("c");
	run_container("c", ARGS("/bin/sleep", "1000"));
	assert_call(signal_process("c", "", SIGKILL, false));
	expect_end("c", "", 128 + SIGKILL);
	assert_status(signal_process("c", "", SIGTERM, false), TTRPC_FAILED_PRECONDITION);
	remove_container("c");
}

static void wrong_names_and_states_are_refused(void **state)
{
	uint32_t status;

	assert_status(start("nobody", ""), TTRPC_NOT_FOUND);
	assert_status(container_call("RemoveContainer", "../x"), TTRPC_NOT_FOUND);
	assert_status(create_with("a/b", ARGS("/bin/true"), false, NULL), TTRPC_INVALID_ARGUMENT);
	assert_status(create_with("", ARGS("/bin/true"), false, NULL), TTRPC_INVALID_ARGUMENT);

	assert_call(create_with("c", ARGS("/bin/sleep", "1000"), false, NULL));
	assert_status(create_with("c", ARGS("/bin/true"), false, NULL), TTRPC_ALREADY_EXISTS);
	assert_call(start("c", ""));
	assert_status(start("c", ""), TTRPC_FAILED_PRECONDITION);
	assert_status(start("c", "x"), TTRPC_NOT_FOUND);
	assert_status(wait_for("c", "x", &status, NULL), TTRPC_NOT_FOUND);
	assert_status(signal_process("c", "", 65, false), TTRPC_INVALID_ARGUMENT);
	assert_status(resize("c", "", 80, 25), TTRPC_FAILED_PRECONDITION);
	assert_status(resize("c", "", 80, 65536), TTRPC_INVALID_ARGUMENT);
	assert_status(ref("RemoveProcess", "c", ""), TTRPC_INVALID_ARGUMENT);
	assert_status(add("c", "bad id", ARGS("/bin/true"), false), TTRPC_INVALID_ARGUMENT);
	assert_call(add("c", "x", ARGS("/bin/sleep", "1000"), false));
	assert_status(add("c", "x", ARGS("/bin/true"), false), TTRPC_ALREADY_EXISTS);
	assert_call(start("c", "x"));
	assert_status(ref("RemoveProcess", "c", "x"), TTRPC_FAILED_PRECONDITION);
	remove_container("c");
}

static void reads_out_of_bounds_are_refused(void **state)
{
	char buf[16];
	size_t used = 0;
	uint32_t written;
	bool eof;

	run_container("c", ARGS("/bin/sleep", "1000"));
	assert_status(read_once("c", "", 1, 0, buf, sizeof(buf), &used, &eof), TTRPC_INVALID_ARGUMENT);
	assert_status(read_once("c", "", 1, (1 << 20) + 1, buf, sizeof(buf), &used, &eof), TTRPC_INVALID_ARGUMENT);
	assert_status(read_once("c", "", 3, 10, buf, sizeof(buf), &used, &eof), TTRPC_INVALID_ARGUMENT);
	assert_status(write_input("c", "", "", 0, &written), TTRPC_INVALID_ARGUMENT);
	remove_container("c");
}

static void missing_program_is_not_found(void **state)
{
	assert_status(create_with("c", ARGS("nosuchprogram"), false, NULL), TTRPC_NOT_FOUND);
	assert_non_null(strstr(peer.err.text, "executable file not found in $PATH"));
	/* Nothing is left of it. */
	run_container("c", ARGS("/bin/sleep", "1000"));
	assert_call(add("c", "x", ARGS("/bin/nosuchprogram"), false));
	assert_status(start("c", "x"), TTRPC_NOT_FOUND);
	assert_non_null(strstr(peer.err.text, "no such file or directory"));
	assert_call(ref("RemoveProcess", "c", "x"));
	assert_call(add("c", "x", ARGS("/tmp"), false));
	assert_status(start("c", "x"), TTRPC_PERMISSION_DENIED);
	remove_container("c");
}

static void malformed_spec_names_the_field(void **state)
{
	Onggi__Agent__V1__CreateContainerRequest request = ONGGI__AGENT__V1__CREATE_CONTAINER_REQUEST__INIT;
	const char *spec = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":7}}";

	request.container_id = (char *)"c";
	request.rootfs = (char *)"/run/onggi/share/busybox";
	request.spec.data = (uint8_t *)spec;
	request.spec.len = strlen(spec);
	assert_status(call("CreateContainer", &request.base,
			   &onggi__agent__v1__create_container_response__descriptor, NULL),
		      TTRPC_INVALID_ARGUMENT);
	assert_non_null(strstr(peer.err.text, "root.path"));
	request.rootfs = (char *)"/etc";
	spec = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"x\"],\"cwd\":\"/\"}}";
	request.spec.data = (uint8_t *)spec;
	request.spec.len = strlen(spec);
	assert_status(call("CreateContainer", &request.base,
			   &onggi__agent__v1__create_container_response__descriptor, NULL),
		      TTRPC_INVALID_ARGUMENT);
}

static void output_burst_arrives_whole(void **state)
{
	_cleanup_free_ char *buf = malloc(1 << 21);
	char script[128];
	size_t total = 0;
	bool eof = false;

	snprintf(script, sizeof(script), "exec dd bs=1048576 count=%zu if=/dev/zero", peer.burst_bytes >> 20);
	run_container("c", SH(script));
	while (!eof) {
		size_t used = 0;

		assert_call(read_once("c", "", 1, 1 << 20, buf, 1 << 21, &used, &eof));
		/* All bytes are 0 when the first is, and each equals its neighbour. */
		assert_true(!used || (!buf[0] && !memcmp(buf, buf + 1, used - 1)));
		total += used;
	}
	assert_int_equal(total, peer.burst_bytes);
	expect_end("c", "", 0);
	remove_container("c");
}

static void output_is_kept_after_the_end(void **state)
{
	char buf[65536];

	run_container("c", SH("seq 1 10000"));
	expect_end("c", "", 0);
	read_all("c", "", 1, buf, sizeof(buf));
	assert_int_equal(strlen(buf), 48894);
	assert_string_equal(buf + strlen(buf) - 6, "10000\n");
	expect_output("c", "", 2, "");
	remove_container("c");
}

static void background_child_does_not_hold_the_reader(void **state)
{
	run_container("c", ARGS("/bin/sleep", "1000"));
	run_exec("c", "x", SH("sleep 1000 & echo hi"));
	expect_end("c", "x", 0);
	expect_output("c", "x", 1, "hi\n");
	expect_output("c", "x", 2, "");
	assert_call(ref("RemoveProcess", "c", "x"));
	assert_status(ref("RemoveProcess", "c", "x"), TTRPC_NOT_FOUND);
	remove_container("c");
}

static void death_of_init_takes_the_rest_along(void **state)
{
	run_container("c", SH("sleep 1000 & read x; exit 3"));
	run_exec("c", "x", ARGS("/bin/sleep", "1000"));
	assert_call(ref("CloseInput", "c", ""));
	expect_end("c", "", 3);
	expect_end("c", "x", 128 + SIGKILL);
	expect_output("c", "", 1, "");
	assert_status(add("c", "y", ARGS("/bin/true"), false), TTRPC_FAILED_PRECONDITION);
	remove_container("c");
}

static void input_reaches_the_program_and_can_be_closed(void **state)
{
	uint32_t written = 0;

	run_container("c", ARGS("/bin/cat"));
	assert_call(write_input("c", "", "hello\n", 6, &written));
	assert_int_equal(written, 6);
	assert_call(ref("CloseInput", "c", ""));
	expect_output("c", "", 1, "hello\n");
	expect_end("c", "", 0);
	assert_status(write_input("c", "", "x", 1, &written), TTRPC_FAILED_PRECONDITION);
	remove_container("c");
}

static void input_of_any_size_goes_through(void **state)
{
	_cleanup_free_ char *data = malloc(1 << 20);
	uint32_t written = 0;
	size_t done = 0;

	memset(data, 'y', 1 << 20);
	run_container("c", SH("sleep 1; wc -c"));
	while (done < 1 << 20) {
		assert_call(write_input("c", "", data + done, (1 << 20) - done, &written));
		assert_true(written > 0);
		done += written;
	}
	assert_call(ref("CloseInput", "c", ""));
	expect_output("c", "", 1, "1048576\n");
	expect_end("c", "", 0);
	remove_container("c");
}

static void writing_to_a_closed_reader_is_refused(void **state)
{
	char buf[16];
	size_t used = 0;
	uint32_t written = 0;
	bool eof = false;

	run_container("c", SH("exec <&-; echo closed; exec sleep 1000"));
	assert_call(read_once("c", "", 1, 10, buf, sizeof(buf), &used, &eof));
	assert_status(write_input("c", "", "x", 1, &written), TTRPC_FAILED_PRECONDITION);
	remove_container("c");
}

static void writer_without_a_reader_gets_sigpipe(void **state)
{
	char buf[64];

	run_container("c", ARGS("/bin/sleep", "1000"));
	/* One that waits in the middle of a write, and one whose output nobody wanted from the start. */
	run_exec("c", "x", ARGS("/bin/dd", "if=/dev/zero", "bs=65536"));
	assert_call(add("c", "y", SH("trap '' PIPE; echo x 2> /dev/null; echo status $? >&2"), false));
	assert_call(close_output("c", "y", 1));
	assert_call(start("c", "y"));
	expect_output("c", "y", 2, "status 1\n");
	expect_end("c", "y", 0);
	assert_call(close_output("c", "x", 1));
	assert_call(close_output("c", "x", 1));
	read_all("c", "x", 1, buf, sizeof(buf));
	expect_end("c", "x", 128 + SIGPIPE);
	assert_status(close_output("c", "x", 3), TTRPC_INVALID_ARGUMENT);
	assert_status(close_output("c", "z", 1), TTRPC_NOT_FOUND);
	remove_container("c");
}

static void terminal_has_a_name_and_a_size(void **state)
{
	char buf[4096];

	assert_call(create_with("c", SH("tty; stty size; read x; stty size; echo got $x"), true, NULL));
	assert_call(start("c", ""));
	/* The first size is printed before the second is set: read up to it. */
	{
		size_t used = 0;
		bool eof = false;

		memset(buf, 0, sizeof(buf));
		while (!strstr(buf, "30 90"))
			assert_call(read_once("c", "", 1, 4096, buf, sizeof(buf), &used, &eof));
		assert_non_null(strstr(buf, "/dev/pts/0\r\n"));
	}
	assert_call(resize("c", "", 100, 40));
	{
		uint32_t written = 0;

		assert_call(write_input("c", "", "jar\n", 4, &written));
		assert_int_equal(written, 4);
	}
	read_all("c", "", 1, buf, sizeof(buf));
	assert_non_null(strstr(buf, "40 100\r\ngot jar\r\n"));
	expect_output("c", "", 2, "");
	expect_end("c", "", 0);
	remove_container("c");
}

static void exec_has_a_terminal_of_its_own(void **state)
{
	char buf[4096];

	run_container("c", ARGS("/bin/sleep", "1000"));
	assert_call(add("c", "t", SH("test -t 0 && test -t 2 && tty; exit 5"), true));
	assert_call(start("c", "t"));
	read_all("c", "t", 1, buf, sizeof(buf));
	assert_non_null(strstr(buf, "/dev/pts/"));
	expect_end("c", "t", 5);
	remove_container("c");
}

static void terminal_output_is_not_lost_at_the_end(void **state)
{
	char buf[65536];

	run_container("c", ARGS("/bin/sleep", "1000"));
	for (int i = 0; i < 5; i++) {
		assert_call(add("c", "t", SH("seq 1 400"), true));
		assert_call(start("c", "t"));
		expect_end("c", "t", 0);
		read_all("c", "t", 1, buf, sizeof(buf));
		assert_non_null(strstr(buf, "\n400\r\n"));
		assert_int_equal(strlen(buf), 1492 + 400);
		assert_call(ref("RemoveProcess", "c", "t"));
	}
	remove_container("c");
}

struct waits {
	unsigned int ended;
	uint32_t status;
};

static void on_wait(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct waits *w = userdata;

	assert_int_equal(code, TTRPC_OK);
	w->status += ((const Onggi__Agent__V1__WaitProcessResponse *)response)->exit_status;
	w->ended++;
}

static void several_may_wait_for_one_process(void **state)
{
	Onggi__Agent__V1__ProcessRef request = ONGGI__AGENT__V1__PROCESS_REF__INIT;
	struct waits w = { 0 };

	run_container("c", SH("read x; exit 2"));
	request.container_id = (char *)"c";
	for (int i = 0; i < 3; i++)
		assert_int_equal(ttrpc_client_call(peer.client, AGENT_SERVICE, "WaitProcess", &request.base,
						   &onggi__agent__v1__wait_process_response__descriptor,
						   AGENT_CALL_MS, on_wait, &w),
				 0);
	assert_call(ref("CloseInput", "c", ""));
	while (w.ended < 3)
		assert_int_equal(loop_run_once(peer.loop), 0);
	assert_int_equal(w.status, 6);
	remove_container("c");
}

static void signals_reach_one_or_all(void **state)
{
	char buf[64];
	size_t used = 0;
	bool eof;

	run_container("c", SH("trap 'echo usr1' USR1; echo up; while :; do sleep 1000 & wait; done"));
	assert_call(read_once("c", "", 1, 10, buf, sizeof(buf), &used, &eof));
	assert_call(signal_process("c", "", SIGUSR1, false));
	while (used < 8)
		assert_call(read_once("c", "", 1, 10, buf, sizeof(buf), &used, &eof));
	assert_memory_equal(buf, "up\nusr1\n", 8);
	run_exec("c", "x", ARGS("/bin/sleep", "1000"));
	assert_call(signal_process("c", "", SIGTERM, true));
	expect_end("c", "x", 128 + SIGTERM);
	assert_call(signal_process("c", "", 0, false));
	assert_call(signal_process("c", "", SIGKILL, true));
	expect_end("c", "", 128 + SIGKILL);
	remove_container("c");
}

static void paused_container_stands_still(void **state)
{
	char buf[64];
	size_t used = 0;
	bool eof;

	run_container("c", SH("read x; echo $x; exec sleep 1000"));
	assert_call(container_call("PauseContainer", "c"));
	assert_status(container_call("PauseContainer", "c"), TTRPC_FAILED_PRECONDITION);
	assert_call(add("c", "x", ARGS("/bin/true"), false));
	assert_status(start("c", "x"), TTRPC_FAILED_PRECONDITION);
	assert_non_null(strstr(peer.err.text, "paused"));
	assert_call(container_call("ResumeContainer", "c"));
	assert_status(container_call("ResumeContainer", "c"), TTRPC_FAILED_PRECONDITION);
	assert_call(write_input("c", "", "on\n", 3, &(uint32_t){ 0 }));
	assert_call(read_once("c", "", 1, 10, buf, sizeof(buf), &used, &eof));
	assert_call(start("c", "x"));
	expect_end("c", "x", 0);
	assert_call(container_call("PauseContainer", "c"));
	assert_call(signal_process("c", "", SIGKILL, false));
	expect_end("c", "", 128 + SIGKILL);
	remove_container("c");
}

static void processes_are_listed(void **state)
{
	Onggi__Agent__V1__ContainerRef request = ONGGI__AGENT__V1__CONTAINER_REF__INIT;
	Onggi__Agent__V1__ListProcessesResponse *response = NULL;
	unsigned int inits = 0, execs = 0;

	run_container("c", ARGS("/bin/sleep", "1000"));
	run_exec("c", "x", ARGS("/bin/cat"));
	request.container_id = (char *)"c";
	assert_call(call("ListProcesses", &request.base, &onggi__agent__v1__list_processes_response__descriptor,
			 &response));
	assert_int_equal(response->n_processes, 2);
	for (size_t i = 0; i < 2; i++) {
		const Onggi__Agent__V1__GuestProcess *p = response->processes[i];

		inits += !strcmp(p->exec_id, "") && !strcmp(p->command, "sleep");
		execs += !strcmp(p->exec_id, "x") && !strcmp(p->command, "cat");
	}
	protobuf_c_message_free_unpacked(&response->base, NULL);
	assert_int_equal(inits, 1);
	assert_int_equal(execs, 1);
	remove_container("c");
}

static void created_container_can_be_removed(void **state)
{
	assert_call(create_with("c", ARGS("/bin/sleep", "1000"), false, NULL));
	remove_container("c");
	assert_call(create_with("c", ARGS("/bin/sleep", "1000"), true, NULL));
	assert_call(signal_process("c", "", SIGKILL, false));
	expect_end("c", "", 128 + SIGKILL);
	remove_container("c");
}

static void many_execs_one_after_the_other(void **state)
{
	run_container("c", ARGS("/bin/sleep", "1000"));
	for (int i = 0; i < 30; i++) {
		run_exec("c", "x", SH("sleep 1000 & exit 4"));
		expect_end("c", "x", 4);
		assert_call(ref("RemoveProcess", "c", "x"));
	}
	remove_container("c");
}

/* Needs a memory controller: a guest has one, not every machine that tests run on. */
static void __attribute__((unused)) memory_limit_is_reported_as_oom(void **state)
{
	uint32_t status = 0;
	bool oom = false;

	assert_call(create_with("c", SH("a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done"), false,
				"{\"memory\":{\"limit\":16777216,\"swap\":16777216}}"));
	assert_call(start("c", ""));
	assert_call(wait_for("c", "", &status, &oom));
	assert_int_equal(status, 128 + SIGKILL);
	assert_true(oom);
	remove_container("c");
}

#define AGENT_CLAIMS                                                          \
	cmocka_unit_test(container_prints_and_ends),                          \
	cmocka_unit_test(exit_status_is_the_code_or_128_plus_signal),         \
	cmocka_unit_test(wrong_names_and_states_are_refused),                 \
	cmocka_unit_test(reads_out_of_bounds_are_refused),                    \
	cmocka_unit_test(missing_program_is_not_found),                       \
	cmocka_unit_test(malformed_spec_names_the_field),                     \
	cmocka_unit_test(output_burst_arrives_whole),                         \
	cmocka_unit_test(output_is_kept_after_the_end),                       \
	cmocka_unit_test(background_child_does_not_hold_the_reader),          \
	cmocka_unit_test(death_of_init_takes_the_rest_along),                 \
	cmocka_unit_test(input_reaches_the_program_and_can_be_closed),        \
	cmocka_unit_test(input_of_any_size_goes_through),                     \
	cmocka_unit_test(writing_to_a_closed_reader_is_refused),              \
	cmocka_unit_test(writer_without_a_reader_gets_sigpipe),               \
	cmocka_unit_test(terminal_has_a_name_and_a_size),                     \
	cmocka_unit_test(exec_has_a_terminal_of_its_own),                     \
	cmocka_unit_test(terminal_output_is_not_lost_at_the_end),             \
	cmocka_unit_test(several_may_wait_for_one_process),                   \
	cmocka_unit_test(signals_reach_one_or_all),                           \
	cmocka_unit_test(paused_container_stands_still),                      \
	cmocka_unit_test(processes_are_listed),                               \
	cmocka_unit_test(created_container_can_be_removed),                   \
	cmocka_unit_test(many_execs_one_after_the_other)

/* ---- the rootfs ---- */

/* Fill @share/busybox with what the claims run. */
static void make_rootfs(const char *share)
{
	static const char *const folders[] = { "", "bin", "proc", "dev", "sys", "tmp", "etc" };
	static const char *const tools[] = { "sh", "cat", "echo", "sleep", "head", "tr", "tty", "stty", "true",
					     "seq", "hostname", "wc", "test", "ps", "ls", "cp", "dd",
					     "mkdir" };
	_cleanup_free_ char *busybox = NULL;
	char path[4096];
	size_t len;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/busybox/%s", share, folders[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		snprintf(path, sizeof(path), "%s/busybox/bin/%s", share, tools[i]);
		assert_int_equal(symlink("busybox", path), 0);
	}
	assert_int_equal(io_read_file(AT_FDCWD, "/bin/busybox", 8u << 20, &busybox, &len), 0);
	snprintf(path, sizeof(path), "%s/busybox/bin/busybox", share);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, busybox, len), 0);
	close(fd);
}

#endif
