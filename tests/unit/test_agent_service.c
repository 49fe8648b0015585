/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's promises, kept by an agent that runs as PID 1 of namespaces of this machine:
 * everything but the guest's boot, the virtio-serial port and limits that need controllers. Needs
 * root and a cgroup2 hierarchy of any kind.
 */
#include "tests/unit/agent_claims.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/container.h"
#include "agent/reaper.h"
#include "agent/service.h"
#include "agent/share.h"
#include "common/path.h"

static char share_path[] = "/tmp/onggi-agent-XXXXXX";
static pid_t agent_pid;

#define must(expr)                                                                  \
	do {                                                                        \
		if ((expr) < 0) {                                                   \
			fprintf(stderr, "%s: %s\n", #expr, strerror(errno));        \
			_exit(1);                                                   \
		}                                                                   \
	} while (0)

/* ---- the agent's side ---- */

static void on_conn_gone(struct ttrpc_conn *conn, void *userdata)
{
	(void)conn;
	loop_stop(userdata);
}

static void on_log_level(enum log_level level, void *userdata)
{
	(void)level;
	(void)userdata;
}

static void on_shutdown(void *userdata)
{
	loop_stop(userdata);
}

static void run_agent(int sock)
{
	_cleanup_(loop_destroy_p) struct loop *loop = NULL;
	_cleanup_(reaper_destroy_p) struct reaper *reaper = NULL;
	_cleanup_(share_destroy_p) struct share *share = NULL;
	_cleanup_(service_destroy_p) struct service *service = NULL;
	_cleanup_(container_table_destroy_p) struct container_table *containers = NULL;
	_cleanup_(ttrpc_server_destroy_p) struct ttrpc_server *server = NULL;
	struct service_hooks hooks = { .log_level = on_log_level, .shutdown = on_shutdown };

	must(loop_create(&loop));
	hooks.userdata = loop;
	must(reaper_create(loop, &reaper));
	must(share_create(loop, &share));
	must(container_table_create(loop, reaper, &containers));
	must(service_create(loop, containers, share, &hooks, &service));
	must(ttrpc_server_create(loop, service_ttrpc(service), 1, &server));
	must(ttrpc_server_add(server, sock, on_conn_gone, loop));
	must(loop_run(loop));
}

/*
 * A world like a guest's: its own mounts, PID 1, the share where it belongs, a cgroup2 root of its
 * own.
 */
static void enter_world(char cgroup[64])
{
	snprintf(cgroup, 64, "/sys/fs/cgroup/onggi-test-%d", (int)getpid());
	must(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET));
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount("tmpfs", "/run", "tmpfs", 0, NULL));
	must(mkdir("/run/onggi", 0700));
	must(mkdir(SETUP_SHARE_PATH, 0700));
	must(mount(share_path, SETUP_SHARE_PATH, NULL, MS_BIND, NULL));
	must(mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL));
	must(mkdir(cgroup, 0755));
	must(mount(cgroup, "/sys/fs/cgroup", NULL, MS_BIND, NULL));
}

/* Runs as a child of the test; its own child is PID 1 of the world. */
static void agent_main(int sock)
{
	char cgroup[64];
	int status = 0;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	enter_world(cgroup);
	pid = fork();
	must(pid);
	if (pid == 0) {
		must(prctl(PR_SET_PDEATHSIG, SIGKILL));
		must(mount("proc", "/proc", "proc", 0, NULL));
		signal(SIGPIPE, SIG_IGN);
		run_agent(sock);
		exit(0);
	}
	close(sock);
	must(waitpid(pid, &status, 0));
	rmdir("/sys/fs/cgroup/onggi");
	must(umount2("/sys/fs/cgroup", MNT_DETACH));
	must(rmdir(cgroup));
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

/* ---- the host's side ---- */

static int setup(void **state)
{
	int sockets[2];

	assert_non_null(mkdtemp(share_path));
	make_rootfs(share_path);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets), 0);
	agent_pid = fork();
	assert_true(agent_pid >= 0);
	if (agent_pid == 0) {
		close(sockets[0]);
		agent_main(sockets[1]);
	}
	close(sockets[1]);
	peer.burst_bytes = 100u << 20;
	assert_int_equal(loop_create(&peer.loop), 0);
	assert_int_equal(ttrpc_client_create(peer.loop, sockets[0], NULL, NULL, &peer.client), 0);
	return 0;
}

/* The agent's world is over when its last container is: nothing may be left, no cgroup either. */
static int teardown(void **state)
{
	int status = 0;

	ttrpc_client_destroy(peer.client);
	loop_destroy(peer.loop);
	assert_int_equal(waitpid(agent_pid, &status, 0), agent_pid);
	path_remove_tree(AT_FDCWD, share_path);
	assert_int_equal(status, 0);
	return 0;
}

static void shutdown_ends_what_runs(void **state)
{
	Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

	run_container("c", ARGS("/bin/sleep", "1000"));
	assert_call(create_with("d", ARGS("/bin/sleep", "1000"), true, NULL));
	assert_call(call("Shutdown", &empty.base, EMPTY, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		AGENT_CLAIMS,
		/* Last: nobody serves after it. */
		cmocka_unit_test(shutdown_ends_what_runs),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
