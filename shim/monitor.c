/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/monitor.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/trace.h"
#include "common/loop.h"
#include "common/ttrpc.h"
#include "hypervisor/hypervisor.h"
#include "shim/containerd/publish.h"
#include "shim/monitor_role.h"
#include "shim/sandbox.h"
#include "shim/services.h"

/* Buffers of output come and go; above this size they go back to the kernel at once. */
#define MALLOC_KEEP_BYTES (32 << 10)

/* After the last Delete: how long an engine may take to say that it needs the monitor no more, and hear of its events. */
#define ENGINE_END_TIMEOUT_MS 6000

struct monitor {
	struct loop *loop;
	struct loop_source *sigterm, *sigint, *launcher;
	struct sandbox *sandbox;
	struct ttrpc_service services[SERVICES_COUNT];
	struct ttrpc_server *server;
	/* with an engine alone: */
	struct publisher *publisher;
	int host_netns_fd;
	struct loop_source *end_timer;
};

static void end_now(void *userdata)
{
	struct monitor *m = userdata;

	loop_stop(m->loop);
}

static void on_empty(void *userdata)
{
	struct monitor *m = userdata;

	if (!m->publisher || (m->sandbox->shutdown_asked && publisher_is_idle(m->publisher)))
		end_now(m);
	else if (!m->end_timer &&
		 loop_add_timer(m->loop, ENGINE_END_TIMEOUT_MS, end_now, m, &m->end_timer) < 0)
		end_now(m);
}

static void on_told(void *userdata)
{
	struct monitor *m = userdata;

	if (m->end_timer)
		on_empty(m);
}

static void on_signal(const struct signalfd_siginfo *info, void *userdata)
{
	struct monitor *m = userdata;

	sandbox_log(m->sandbox, LOG_LEVEL_INFO, "ended by signal %u of process %u", info->ssi_signo,
		    info->ssi_pid);
	loop_stop(m->loop);
}

/* It has created a container by now, or it never will. */
static void launcher_gone(int fd, unsigned int events, void *userdata)
{
	struct monitor *m = userdata;

	loop_source_destroy(TAKE_PTR(m->launcher));
	close(fd);
	/* An engine creates itself, some time after the launcher's end. */
	if (!m->publisher)
		sandbox_abandon(m->sandbox);
}

/*
 * An engine's rootfs is mounted here, for nobody else to see, and gone with us. What the host mounts and unmounts
 * still comes.
 */
static int setup_for_engine(struct monitor *m, struct err *err)
{
	m->host_netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (m->host_netns_fd < 0)
		return err_set_errno(err, -errno, "the host's network namespace");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_set_errno(err, -errno, "new mount namespace");
	return 0;
}

static int setup_process(struct monitor *m, const struct monitor_args *args, struct err *err)
{
	int r;

	for (int fd = MONITOR_FD_LISTEN; fd < MONITOR_FD_END; fd++) {
		if (fd_set_cloexec(fd, true) < 0)
			return err_set(err, -EBADF,
				       "the role '%s' is started by the other commands only",
				       MONITOR_ROLE);
	}
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	prctl(PR_SET_NAME, "onggi-monitor");
	mallopt(M_MMAP_THRESHOLD, MALLOC_KEEP_BYTES);
	mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP_BYTES);
	r = args->engine_namespace ? setup_for_engine(m, err) : 0;
	if (r < 0)
		return r;
	/* The monitor holds the sandbox's network namespace by living in it. */
	if (setns(MONITOR_FD_NETNS, CLONE_NEWNET) < 0)
		return err_set_errno(err, -errno, "enter the network namespace");
	if (chdir("/") < 0)
		return err_set_errno(err, -errno, "folder '/'");
	return 0;
}

/* The engine's FIFO, which nobody may be reading: its lines are lost then, and nothing blocks. */
static int open_engine_log(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
		return fd;
	cleanup_close_p(&fd);
	return -EBADF;
}

static int open_log(const struct monitor_args *args, struct err *err)
{
	_cleanup_free_ char *path = NULL;
	int fd;

	fd = args->engine_log ? open_engine_log(args->engine_log) : -EBADF;
	if (fd < 0 && asprintf(&path, "%s/sandboxes/%s/monitor.log", args->root, args->id) < 0)
		return path = NULL, -ENOMEM;
	if (fd < 0)
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(err, -errno, "log '%s'", path);
	log_setup(fd, LOG_FORMAT_TEXT, args->config.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		  "monitor");
	return 0;
}

static int create_sandbox(struct monitor *m, const struct monitor_args *args,
			 const struct vm_driver *driver, const struct sandbox_files_ops *files,
			 struct err *err)
{
	struct sandbox_options options = {
		.root = args->root,
		.id = args->id,
		.cri_sandbox_id = args->cri_sandbox_id,
		.netns_path = args->netns_path,
		.network = true,
		.config = &args->config,
		.vcpus = args->vcpus,
		.memory_mib = args->memory_mib,
		.pod = args->pod,
		.driver = driver ? driver : vm_driver_find(args->config.driver),
		.files = files ? files : &sandbox_virtiofsd,
		.host_netns_fd = m->host_netns_fd,
	};
	struct stat st;
	int r;

	if (args->engine_namespace) {
		r = publisher_create(m->loop, args->engine_events ? args->engine_events : "",
				     args->engine_namespace, on_told, m, &m->publisher);
		if (r < 0)
			return err_set_errno(err, r, "events");
		options.publisher = m->publisher;
	}

	if (!options.driver)
		return err_set(err, -EINVAL, "field 'driver': unknown value '%s'",
			       args->config.driver);
	if (fstat(MONITOR_FD_NETNS, &st) < 0)
		return err_set_errno(err, -errno, "network namespace");
	options.netns_dev = st.st_dev;
	options.netns_ino = st.st_ino;
	close(MONITOR_FD_NETNS);
	return sandbox_create(m->loop, &options, on_empty, m, &m->sandbox, err);
}

static int start_services(struct monitor *m, struct err *err)
{
	int r;

	services_init(m->services, m->sandbox);
	r = ttrpc_server_create(m->loop, m->services, SERVICES_COUNT, &m->server);
	if (r >= 0)
		r = ttrpc_server_listen(m->server, MONITOR_FD_LISTEN);
	if (r >= 0)
		r = loop_add_signal(m->loop, SIGTERM, on_signal, m, &m->sigterm);
	if (r >= 0)
		r = loop_add_signal(m->loop, SIGINT, on_signal, m, &m->sigint);
	if (r >= 0)
		r = loop_add_fd(m->loop, MONITOR_FD_READY, LOOP_READ, launcher_gone, m,
				&m->launcher);
	return r < 0 ? err_set_errno(err, r, "services of the monitor") : 0;
}

static int start(struct monitor *m, int argc, char **argv, struct monitor_args *args,
		 const struct vm_driver *driver, const struct sandbox_files_ops *files,
		 struct err *err)
{
	int r;

	if ((r = monitor_args_parse(argc, argv, args, err)) < 0)
		return r;
	/* Opened in the launcher's own mount namespace; without it there is just no trace. */
	if (args->trace)
		trace_open(args->trace, args->trace_start_us, "monitor");
	if ((r = setup_process(m, args, err)) < 0 || (r = open_log(args, err)) < 0)
		return r;
	r = loop_create(&m->loop);
	if (r < 0)
		return err_set_errno(err, r, "event loop");
	r = create_sandbox(m, args, driver, files, err);
	/* Others may look for it now. */
	if (r >= 0)
		r = monitor_ready_send(MONITOR_FD_READY, 0, "");
	if (r >= 0)
		r = sandbox_start(m->sandbox, err);
	return r < 0 ? r : start_services(m, err);
}

static void stop(struct monitor *m)
{
	/* Attached proxies find their connection closed only when all is recorded. */
	sandbox_shut_down(m->sandbox);
	ttrpc_server_destroy(m->server);
	sandbox_destroy(m->sandbox);
	loop_source_destroy(m->sigterm);
	loop_source_destroy(m->sigint);
	loop_source_destroy(m->launcher);
	loop_source_destroy(m->end_timer);
	publisher_destroy(m->publisher);
	cleanup_close_p(&m->host_netns_fd);
	loop_destroy(m->loop);
}

int monitor_run(int argc, char **argv, const struct vm_driver *driver,
		const struct sandbox_files_ops *files)
{
	struct monitor m = { .host_netns_fd = -EBADF };
	struct monitor_args args;
	struct err err = ERR_INIT;
	int r;

	r = start(&m, argc, argv, &args, driver, files, &err);
	if (r < 0) {
		/* Who is told finds nothing left. */
		stop(&m);
		monitor_ready_send(MONITOR_FD_READY, r, err.text[0] ? err.text : strerror(-r));
		return 1;
	}
	/* A launcher that was killed meanwhile would leave a sandbox that nobody knows of. */
	r = monitor_ready_send(MONITOR_FD_READY, 0, "");
	trace_mark("ready for calls");
	if (r >= 0)
		loop_run(m.loop);
	stop(&m);
	return r < 0 ? 1 : 0;
}

int monitor_main(int argc, char **argv)
{
	return monitor_run(argc, argv, NULL, NULL);
}
