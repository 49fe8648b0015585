/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This program is its own monitor: when its first argument is the role it runs one over the fake
 * VM.
 */
#include "tests/unit/shim_world.h"

#include "shim/monitor.h"
#include "shim/monitor_role.h"

struct place {
	char dir[64], root[96];
	int rootfd;
	struct config config;
	struct err err;
	int fds_before;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->fds_before = world_count_fds();
	strcpy(p->dir, "/tmp/onggi-join-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->root, sizeof(p->root), "%s/run", p->dir);
	assert_int_equal(state_open_root(p->root, &p->rootfd, &p->err), 0);
	p->config = (struct config){ .accel = (char *)"tcg",
				     .driver = (char *)"fake",
				     .boot_timeout_ms = LIMIT_MS,
				     .memory_mib = 128,
				     .vcpus = 1 };
	*state = p;
	return 0;
}

/* SIGKILL to all that the records name. */
static void end_all(struct place *p)
{
	char **names;

	assert_int_equal(state_list(p->rootfd, "sandboxes", &names), 0);
	for (char **name = names; *name; name++) {
		struct sandbox_record *record;

		if (sandbox_record_load(p->rootfd, *name, &record, NULL) == 0) {
			process_id_kill(&record->monitor, LIMIT_MS);
			process_id_kill(&record->vmm, LIMIT_MS);
			process_id_kill(&record->file_server, LIMIT_MS);
			sandbox_record_free(record);
		}
	}
	state_free_names(names);
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[128];

	end_all(p);
	close(p->rootfd);
	assert_int_equal(world_count_fds(), p->fds_before);
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

/* @netns: path, "" for a new one, NULL for none. */
static struct oci_spec *make_spec(const char *netns, const char *more)
{
	char text[2048], entry[256] = "";
	struct err err = ERR_INIT;
	struct oci_spec *spec;

	if (netns && netns[0])
		snprintf(entry, sizeof(entry), "{\"type\":\"network\",\"path\":\"%s\"}", netns);
	else if (netns)
		snprintf(entry, sizeof(entry), "{\"type\":\"network\"}");
	snprintf(text, sizeof(text),
		 "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
		 "\"process\":{\"cwd\":\"/"
		 "\",\"args\":[\"true\"]},\"linux\":{\"namespaces\":[%s]}%s}",
		 entry, more);
	if (oci_spec_parse(text, strlen(text), &spec, &err) < 0)
		fail_msg("%s", err.text);
	return spec;
}

static int join(struct place *p, const char *id, const char *netns, const char *more,
		struct sandbox_join *ret)
{
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = make_spec(netns, more);

	p->err = (struct err)ERR_INIT;
	return sandbox_find_or_launch(p->root, id, spec, &p->config, ret, &p->err);
}

static struct sandbox_record *load(struct place *p, const char *id)
{
	struct sandbox_record *record = NULL;

	assert_int_equal(sandbox_record_load(p->rootfd, id, &record, &p->err), 0);
	return record;
}

static void first_container_launches_a_monitor_that_serves_at_once(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct place *p = *state;
	struct sandbox_join j;
	char path[64], own[64], target[64] = "";
	struct stat st;
	int fd;

	assert_int_equal(join(p, "c1", "", "", &j), 0);
	assert_true(j.created);
	assert_string_equal(j.id, "c1");
	assert_int_equal(ttrpc_connect_unix(j.socket, &fd, &p->err), 0);
	close(fd);
	assert_int_equal(stat(j.socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	record = load(p, "c1");
	assert_true(process_id_alive(&record->monitor));
	assert_true(process_id_alive(&record->vmm));
	/* It lives in the new network namespace, which is not ours. */
	assert_int_equal(fstat(j.netns_fd, &st), 0);
	assert_true(record->netns_ino == st.st_ino);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", record->monitor.pid);
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	assert_true(readlink("/proc/self/ns/net", own, sizeof(own) - 1) > 0);
	assert_string_not_equal(target, own);
	sandbox_join_finish(&j);
}

static void monitor_is_detached_from_its_launcher(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct place *p = *state;
	struct sandbox_join j;
	char path[64], target[128];
	int leak[2];

	/* What an engine leaves open in the command, without CLOEXEC. */
	assert_int_equal(pipe(leak), 0);
	assert_int_equal(join(p, "c1", "", "", &j), 0);
	record = load(p, "c1");
	assert_int_equal(getsid(record->monitor.pid), record->monitor.pid);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	for (int fd = 0; fd <= 2; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", record->monitor.pid, fd);
		memset(target, 0, sizeof(target));
		assert_true(readlink(path, target, sizeof(target) - 1) > 0);
		assert_string_equal(target, "/dev/null");
	}
	/* End of file comes although the monitor lives. */
	close(leak[1]);
	assert_int_equal(read(leak[0], target, 1), 0);
	close(leak[0]);
	sandbox_join_finish(&j);
}

static void same_network_namespace_is_the_same_sandbox(void **state)
{
	struct place *p = *state;
	struct sandbox_join a, b, c;
	char path[64];

	assert_int_equal(join(p, "c1", "", "", &a), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", a.netns_fd);
	assert_int_equal(join(p, "c2", path, "", &b), 0);
	assert_false(b.created);
	assert_string_equal(b.id, "c1");
	assert_string_equal(b.socket, a.socket);
	assert_int_equal(join(p, "c3", "", "", &c), 0);
	assert_true(c.created);
	assert_string_equal(c.id, "c3");
	sandbox_join_finish(&a);
	sandbox_join_finish(&b);
	sandbox_join_finish(&c);
}

static void annotation_alone_does_not_put_a_container_into_anothers_vm(void **state)
{
	static const char pod_a[] = ",\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod-a\"}";
	static const char pod_b[] =
		",\"annotations\":{\"io.kubernetes.cri-o.SandboxID\":\"pod-b\"}";
	struct place *p = *state;
	struct sandbox_join a, b;
	char path[64];

	assert_int_equal(join(p, "c1", "", pod_a, &a), 0);
	assert_int_equal(join(p, "c2", "", pod_a, &b), 0);
	assert_true(b.created);
	sandbox_join_finish(&b);
	/* And it can contradict the namespace. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", a.netns_fd);
	assert_int_equal(join(p, "c3", path, pod_b, &b), -EPERM);
	assert_int_equal(join(p, "c3", path, pod_a, &b), 0);
	assert_false(b.created);
	sandbox_join_finish(&a);
	sandbox_join_finish(&b);
}

static void host_network_is_refused(void **state)
{
	struct place *p = *state;
	struct sandbox_join j;

	assert_int_equal(join(p, "c1", NULL, "", &j), -EOPNOTSUPP);
	assert_non_null(strstr(p->err.text, "host networking is not supported"));
	assert_int_equal(join(p, "c1", "/proc/self/ns/net", "", &j), -EOPNOTSUPP);
	assert_int_equal(join(p, "c1", "/nonexistent", "", &j), -ENOENT);
	assert_int_equal(join(p, "c1", "/dev/null", "", &j), -EINVAL);
}

static void failing_monitor_tells_why_and_leaves_nothing(void **state)
{
	struct place *p = *state;
	struct sandbox_join j;

	p->config.accel = (char *)"steam";
	assert_int_not_equal(join(p, "c1", "", "", &j), 0);
	assert_non_null(strstr(p->err.text, "'steam'"));
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c1", F_OK, 0), -1);
}

static void killed_monitor_is_cleaned_up_by_the_next_launch(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct place *p = *state;
	struct sandbox_join j;

	assert_int_equal(join(p, "c1", "", "", &j), 0);
	record = load(p, "c1");
	assert_int_equal(process_id_kill(&record->monitor, LIMIT_MS), 0);
	sandbox_join_finish(&j);
	assert_int_equal(join(p, "c2", "", "", &j), 0);
	sandbox_join_finish(&j);
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c1", F_OK, 0), -1);
	assert_false(process_id_alive(&record->vmm));
	assert_false(process_id_alive(&record->file_server));
}

static void clean_up_stops_the_containers_of_a_killed_monitor(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct container_record container = {
		.id = (char *)"c1", .sandbox = (char *)"c1", .bundle = (char *)"/b", .rootfs = (char *)"/b/rootfs",
		.oci_version = (char *)"1.0.2", .created = (char *)"x", .status = CONTAINER_RUNNING,
	}, *back;
	struct place *p = *state;
	struct sandbox_join j;

	assert_int_equal(join(p, "c1", "", "", &j), 0);
	assert_int_equal(mkdirat(p->rootfd, "containers/c1", 0700), 0);
	assert_int_equal(mkdirat(p->rootfd, "containers/c1/io", 0700), 0);
	assert_int_equal(container_record_save(p->rootfd, &container, &p->err), 0);
	/* No effect while it lives. */
	assert_int_equal(sandbox_clean_up(p->root, "c1", &p->err), 0);
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c1", F_OK, 0), 0);
	record = load(p, "c1");
	assert_int_equal(process_id_kill(&record->monitor, LIMIT_MS), 0);
	assert_int_equal(sandbox_clean_up(p->root, "c1", &p->err), 0);
	assert_int_equal(sandbox_clean_up(p->root, "c1", &p->err), 0);
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c1", F_OK, 0), -1);
	assert_int_equal(faccessat(p->rootfd, "containers/c1/io", F_OK, 0), -1);
	assert_int_equal(container_record_load(p->rootfd, "c1", &back, &p->err), 0);
	assert_int_equal(back->status, CONTAINER_STOPPED);
	assert_int_equal(back->exit_status, 137);
	container_record_free(back);
	sandbox_join_finish(&j);
}

static void assert_gone(struct place *p, const struct sandbox_record *record)
{
	/* It, too, counts as gone from the moment in which its end begins: wait for the whole of it. */
	assert_int_equal(process_id_wait(&record->monitor, LIMIT_MS), 0);
	assert_false(process_id_alive(&record->vmm));
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c1", F_OK, 0), -1);
}

static void terminated_monitor_leaves_nothing(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct place *p = *state;
	struct sandbox_join j;

	assert_int_equal(join(p, "c1", "", "", &j), 0);
	record = load(p, "c1");
	kill(record->monitor.pid, SIGTERM);
	assert_gone(p, record);
	sandbox_join_finish(&j);
}

static void monitor_ends_with_its_launcher_when_nothing_was_created(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct place *p = *state;
	struct sandbox_join j, other;
	char path[64];

	assert_int_equal(join(p, "c1", "", "", &j), 0);
	record = load(p, "c1");
	/* Who has only joined does not count. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", j.netns_fd);
	assert_int_equal(join(p, "c2", path, "", &other), 0);
	sandbox_join_finish(&other);
	usleep(50000);
	assert_true(process_id_alive(&record->monitor));
	sandbox_join_finish(&j);
	assert_gone(p, record);
}

static void sweep_removes_what_dead_monitors_and_killed_launchers_left(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct place *p = *state;
	struct sandbox_join a, b;

	assert_int_equal(join(p, "c1", "", "", &a), 0);
	assert_int_equal(join(p, "c2", "", "", &b), 0);
	assert_int_equal(mkdirat(p->rootfd, "sandboxes/c3", 0700), 0);
	record = load(p, "c2");
	assert_int_equal(process_id_kill(&record->monitor, LIMIT_MS), 0);
	sandbox_sweep(p->root);
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c1", F_OK, 0), 0);
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c2", F_OK, 0), -1);
	assert_int_equal(faccessat(p->rootfd, "sandboxes/c3", F_OK, 0), -1);
	sandbox_join_finish(&a);
	sandbox_join_finish(&b);
}

static void id_of_a_living_sandbox_is_not_taken_again(void **state)
{
	struct place *p = *state;
	struct sandbox_join a, b;

	assert_int_equal(join(p, "c1", "", "", &a), 0);
	assert_int_equal(join(p, "c1", "", "", &b), 0);
	assert_true(b.created);
	assert_string_equal(b.id, "c1+2");
	sandbox_join_finish(&a);
	sandbox_join_finish(&b);
}

static void size_of_the_vm_follows_the_limits_of_the_first_container(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	_cleanup_free_ char *cmdline = NULL;
	struct place *p = *state;
	struct sandbox_join j;
	char path[64], text[4096] = "";
	size_t len = 0;

	assert_int_equal(join(p, "c1", "",
			      ",\"linux\":{\"namespaces\":[{\"type\":\"network\"}],\"resources\":"
			      "{\"memory\":{\"limit\":67108865},\"cpu\":{\"quota\":100000000,"
			      "\"period\":1000}}}",
			      &j),
			 0);
	record = load(p, "c1");
	snprintf(path, sizeof(path), "/proc/%d/cmdline", record->monitor.pid);
	assert_int_equal(io_read_file(AT_FDCWD, path, 65536, &cmdline, &len), 0);
	for (size_t i = 0; i < len && i < sizeof(text) - 1; i++)
		text[i] = cmdline[i] ? cmdline[i] : ' ';
	assert_non_null(strstr(text, "--memory-mib=256 "));
	snprintf(path, sizeof(path), "--vcpus=%ld ", sysconf(_SC_NPROCESSORS_ONLN));
	assert_non_null(strstr(text, path));
	sandbox_join_finish(&j);
}

static void many_at_once_get_one_monitor_each(void **state)
{
	struct place *p = *state;
	char **names;
	int n = 0, status, ready[2], go[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			struct sandbox_join j;
			char id[16];

			snprintf(id, sizeof(id), "c%d", i);
			close(go[1]);
			if (join(p, id, "", "", &j) < 0 || !j.created)
				_exit(1);
			/* The monitor would end with its launcher. */
			_exit(write(ready[1], "", 1) == 1 && read(go[0], &byte, 1) == 0 ? 0 : 1);
		}
	}
	close(ready[1]);
	close(go[0]);
	while (n < 8 && read(ready[0], &byte, 1) == 1)
		n++;
	assert_int_equal(n, 8);
	n = 0;
	assert_int_equal(state_list(p->rootfd, "sandboxes", &names), 0);
	while (names[n])
		n++;
	assert_int_equal(n, 8);
	state_free_names(names);
	close(go[1]);
	close(ready[0]);
	while (wait(&status) > 0)
		assert_int_equal(status, 0);
}

static void arguments_of_the_role_are_checked(void **state)
{
	char *no_root[] = { (char *)"x", (char *)MONITOR_ROLE, (char *)"--id=a", NULL };
	char *unknown[] = { (char *)"x", (char *)MONITOR_ROLE, (char *)"--shell=/bin/sh", NULL };
	struct monitor_args args;
	struct err err = ERR_INIT;

	assert_int_equal(monitor_args_parse(3, no_root, &args, &err), -EINVAL);
	assert_int_equal(monitor_args_parse(3, unknown, &args, &err), -EINVAL);
	assert_non_null(strstr(err.text, "--shell=/bin/sh"));
}

#define CLAIM(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CLAIM(first_container_launches_a_monitor_that_serves_at_once),
		CLAIM(monitor_is_detached_from_its_launcher),
		CLAIM(same_network_namespace_is_the_same_sandbox),
		CLAIM(annotation_alone_does_not_put_a_container_into_anothers_vm),
		CLAIM(host_network_is_refused),
		CLAIM(failing_monitor_tells_why_and_leaves_nothing),
		CLAIM(killed_monitor_is_cleaned_up_by_the_next_launch),
		CLAIM(clean_up_stops_the_containers_of_a_killed_monitor),
		CLAIM(terminated_monitor_leaves_nothing),
		CLAIM(monitor_ends_with_its_launcher_when_nothing_was_created),
		CLAIM(sweep_removes_what_dead_monitors_and_killed_launchers_left),
		CLAIM(id_of_a_living_sandbox_is_not_taken_again),
		CLAIM(size_of_the_vm_follows_the_limits_of_the_first_container),
		CLAIM(many_at_once_get_one_monitor_each),
		cmocka_unit_test(arguments_of_the_role_are_checked),
	};

	if (argc > 1 && !strcmp(argv[1], MONITOR_ROLE))
		return monitor_run(argc, argv, &fake_driver, &fake_files);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
