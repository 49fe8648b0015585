/* SPDX-License-Identifier: Apache-2.0 */
/* Further processes in a container, and containers that share namespaces. */
#include "tests/unit/agent_container.h"

static int exec_in(struct container *ct, const char *process, char out[OUTPUT_MAX], struct err *err)
{
	struct setup_stdio stdio = { .terminal = -1, .in = STDIN_FILENO };
	enum setup_result result = SETUP_PENDING;
	struct oci_process *parsed = NULL;
	struct setup_process *p = NULL;
	int fds[2], pidfd, r;

	if (oci_process_parse(process, strlen(process), &parsed, err) < 0)
		fail_msg("%s", err->text);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	stdio.out = stdio.err = fds[1];
	r = setup_spawn_exec(ct->setup, parsed, ct->pidfd, &stdio, &p, err);
	close(fds[1]);
	if (r == 0) {
		pidfd = setup_process_take_pidfd(p);
		r = wait_result(p, &result, err);
		read_output(fds[0], out);
		if (r == 0)
			r = reap(pidfd);
		else
			reap(pidfd);
		close(pidfd);
	}
	close(fds[0]);
	setup_process_destroy(p);
	oci_process_free(parsed);
	return r;
}

static void exec_joins_the_container(void **state)
{
	struct config c = { .args = "[\"sleep\",\"1000\"]", .linux_ = SECCOMP };
	struct err err = ERR_INIT;
	static struct container ct;

	if (create(&ct, "c1", "rootfs", &c, &err) < 0 || start(&ct, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/tmp\",\"args\":[\"sh\",\"-c\",\"hostname; pwd; id -u; "
				      "grep -E '^(CapInh|Seccomp):' /proc/self/status; "
				      "ls /proc/self/fd | wc -l; exit 3\"],"
				      "\"env\":[\"PATH=/bin\"],\"user\":{\"uid\":3,\"gid\":3}}", output, &err),
			 3);
	assert_string_equal(output, "jar\n/tmp\n3\nCapInh:\t0000000000000000\nSeccomp:\t2\n4\n");
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"for i in pid uts ipc mnt "
				      "cgroup; do test $(readlink /proc/1/ns/$i) = $(readlink /proc/self/ns/$i)"
				      " || echo $i differs; done\"],\"env\":[\"PATH=/bin\"]}", output, &err), 0);
	assert_string_equal(output, "");
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"nosuch\"],\"env\":[\"PATH=/bin\"]}", output,
				 &err), -ENOENT);
	assert_string_equal(err.text, "exec: \"nosuch\": executable file not found in $PATH");
	assert_true(exec_in(&ct, "{\"cwd\":\"/proc/self/fd/3\",\"args\":[\"true\"],\"env\":[\"PATH=/bin\"]}",
			    output, &err) < 0);
	discard(&ct);
}

static void scheduling_of_an_exec_is_its_own(void **state)
{
	struct config c = { .args = "[\"sleep\",\"1000\"]",
			    .process = ",\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":3}" };
	struct err err = ERR_INIT;
	static struct container ct;

	if (create(&ct, "c1", "rootfs", &c, &err) < 0 || start(&ct, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"cut -d' ' -f40,41 /proc/1/stat "
				      "/proc/self/stat\"],\"env\":[\"PATH=/bin\"],"
				      "\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":7}}", output, &err), 0);
	assert_string_equal(output, "3 2\n7 1\n");
	discard(&ct);
}

static void exec_into_a_dead_container_fails(void **state)
{
	struct config c = { 0 };
	struct err err = ERR_INIT;
	static struct container ct;

	if (create(&ct, "c1", "rootfs", &c, &err) < 0 || start(&ct, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(reap(ct.pidfd), 0);
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"true\"],\"env\":[\"PATH=/bin\"]}", output,
				 &err), -ESRCH);
	discard(&ct);
}

static void containers_share_namespaces_by_key(void **state)
{
	const struct setup_shared_namespace shared[] = { { OCI_NS_PID, "pod1" }, { OCI_NS_IPC, "pod1" } };
	struct config a = { .args = "[\"sleep\",\"1000\"]", .shared = shared, .n_shared = 2 };
	struct config b = { .args = SH("test $$ != 1 && for n in self/ns/pid 1/ns/pid self/ns/ipc 1/ns/ipc; "
				       "do readlink /proc/$n; done | sort -u | wc -l"),
			    .shared = shared, .n_shared = 2, .caps = "[\"CAP_SYS_PTRACE\"]" };
	struct err err = ERR_INIT;
	static struct container one, two;

	if (create(&one, "one", "rootfs", &a, &err) < 0 || start(&one, &err) < 0)
		fail_msg("%s", err.text);
	if (create(&two, "two", "rootfs", &b, &err) < 0 || start(&two, &err) < 0)
		fail_msg("%s", err.text);
	read_output(two.out, output);
	assert_int_equal(reap(two.pidfd), 0);
	assert_string_equal(output, "2\n");
	discard(&two);
	discard(&one);
}

static void agents_files_are_out_of_reach_while_it_waits(void **state)
{
	const struct setup_shared_namespace shared[] = { { OCI_NS_PID, "pod1" } };
	struct config a = { .args = "[\"sleep\",\"1000\"]", .shared = shared, .n_shared = 1 };
	struct config b = { .shared = shared, .n_shared = 1 };
	struct err err = ERR_INIT;
	static struct container one, two;

	if (create(&one, "one", "rootfs", &a, &err) < 0 || start(&one, &err) < 0)
		fail_msg("%s", err.text);
	if (create(&two, "two", "rootfs", &b, &err) < 0)
		fail_msg("%s", err.text);
	/* Process 2 in the shared pid namespace is the copy of the agent. */
	assert_int_equal(exec_in(&one, "{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"ls /proc/2/fd | wc -l; "
				       "for f in exe root cwd fd/3 fd/0 ns/mnt; do readlink /proc/2/$f; done; "
				       "cat /proc/2/mem /proc/2/environ 2>&1 | grep -c denied\"],"
				       "\"env\":[\"PATH=/bin\"]}", output, &err), 0);
	/* Its own 0, 1, 2 and the socket; none of the links can be read. */
	assert_string_equal(output, "4\n2\n");
	discard(&two);
	discard(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(scheduling_of_an_exec_is_its_own),
		claim(exec_joins_the_container),
		claim(exec_into_a_dead_container_fails),
		claim(containers_share_namespaces_by_key),
		claim(agents_files_are_out_of_reach_while_it_waits),
	};

	return cmocka_run_group_tests_name("agent setup, several", tests, enter, leave);
}
