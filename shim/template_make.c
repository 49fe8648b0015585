/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/template_make.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/loop.h"
#include "common/path.h"
#include "common/proto/agent.pb-c.h"
#include "common/ttrpc.h"
#include "hypervisor/template.h"
#include "shim/hostcgroup.h"
#include "shim/machine.h"
#include "shim/monitor_role.h"
#include "shim/sandbox.h"

/* The VMM's own files while it runs, within the draft. */
#define VM_FOLDER "vm"
/* Tells the agent that clones will be made of its guest (agent/prepare.h). */
#define PREPARE "onggi_prepare=1"
/* What that may take beyond a boot, ms; most of it is waiting. */
#define PREPARE_TIMEOUT_MS 30000u

struct maker {
	struct loop *loop;
	struct loop_source *timer;
	struct vm *vm;
	struct ttrpc_client *agent;
	int state_fd;
	bool saving, over;
	int code;
	struct err *err;
};

static void finish(struct maker *m, int code)
{
	m->over = true;
	m->code = code;
}

static void on_saved(int code, const char *message, void *userdata)
{
	struct maker *m = userdata;

	finish(m, code < 0 ? err_set(m->err, code, "save the machine: %s", message) : 0);
}

/* The agent has answered, and waits for the next call: that is what clones begin with. */
static void on_greeted(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct maker *m = userdata;
	int r;

	if (m->over || code == TTRPC_UNAVAILABLE || code == TTRPC_CANCELED)
		return;
	m->saving = true;
	r = vm_save(m->vm, m->state_fd, on_saved, m, m->err);
	if (r < 0)
		finish(m, r);
}

/* As a sandbox's monitor does: by a call that the agent does not know. */
static int greet(struct maker *m)
{
	Onggi__Agent__V1__Empty request = ONGGI__AGENT__V1__EMPTY__INIT;
	_cleanup_close_ int fd = vm_agent_fd(m->vm);
	int r;

	if (fd < 0)
		return err_set_errno(m->err, fd, "channel to the agent");
	r = ttrpc_client_create(m->loop, fd, NULL, NULL, &m->agent);
	if (r >= 0) {
		TAKE_FD(fd);
		r = ttrpc_client_call(m->agent, AGENT_SERVICE, "Greet", &request.base,
				      &onggi__agent__v1__empty__descriptor, 0, on_greeted, m);
	}
	return r < 0 ? err_set_errno(m->err, r, "channel to the agent") : 0;
}

static void on_exit_of_vm(struct vm *vm, int status, const char *reason, void *userdata)
{
	struct maker *m = userdata;

	if (!m->over)
		finish(m, err_set(m->err, -EPIPE, "the VMM has ended: %s", reason));
}

static void on_late(void *userdata)
{
	struct maker *m = userdata;

	finish(m, err_set(m->err, -ETIMEDOUT, "%s in time ('boot_timeout_s')",
			  m->saving ? "the machine's state was not saved" : "the guest did not answer"));
}

static int boot_and_save(struct maker *m, const struct vm_driver *driver,
			 const struct vm_config *machine, unsigned int timeout_ms)
{
	static const struct vm_events events = { .on_exit = on_exit_of_vm };
	int r = loop_add_timer(m->loop, timeout_ms, on_late, m, &m->timer);

	if (r < 0)
		return err_set_errno(m->err, r, "event loop");
	r = vm_create(driver, m->loop, machine, &events, m, &m->vm, m->err);
	if (r >= 0)
		r = greet(m);
	while (r >= 0 && !m->over)
		r = loop_run_once(m->loop);
	m->over = true;
	ttrpc_client_destroy(TAKE_PTR(m->agent));
	vm_destroy(TAKE_PTR(m->vm));
	loop_source_destroy(TAKE_PTR(m->timer));
	return r < 0 ? r : m->code;
}

/* In a folder of its own within the draft, so that what the VMM writes is gone before it is
 * published. */
static int fill(struct template_draft *draft, const struct vm_driver *driver,
		struct vm_config *machine, unsigned int timeout_ms, struct err *err)
{
	struct maker m = { .state_fd = draft->state_fd, .err = err };
	_cleanup_close_ int dirfd = -EBADF;
	int r = 0;

	if (mkdirat(draft->dirfd, VM_FOLDER, 0700) < 0)
		return err_set_errno(err, -errno, "template %s", draft->name);
	dirfd = openat(draft->dirfd, VM_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0 || (r = loop_create(&m.loop)) < 0)
		return err_set_errno(err, dirfd < 0 ? -errno : r, "template %s", draft->name);
	machine->state_dirfd = dirfd;
	machine->memory_file = &draft->memory_fd;
	machine->extra_cmdline = PREPARE;
	r = boot_and_save(&m, driver, machine, timeout_ms);
	loop_destroy(m.loop);
	if (r >= 0)
		r = path_remove_tree(draft->dirfd, VM_FOLDER);
	return r;
}

/* Somebody may have made it between our finding none and our holding the lock. */
static bool is_there(int store, const char *description, const struct config *config)
{
	_cleanup_(template_close_p) struct template *t = NULL;
	struct err err = ERR_INIT;

	return template_open(store, description, &t, &err) == 0 &&
	       !template_is_old(t, config->template_clones, config->template_hours);
}

int template_make(const struct config *config, enum vm_accel accel, unsigned int vcpus,
		  uint64_t memory_mib, bool replace, struct err *err)
{
	const struct vm_driver *driver = vm_driver_find(config->driver);
	_cleanup_(template_abandon_p) struct template_draft *draft = NULL;
	_cleanup_free_ char *description = NULL;
	_cleanup_close_ int store = -EBADF;
	struct vm_config machine;
	int r;

	if (!driver)
		return err_set(err, -EINVAL, "field 'driver': unknown value '%s'", config->driver);
	machine_shape(config, accel, vcpus, memory_mib, &machine);
	if ((r = vm_describe(driver, &machine, &description, err)) < 0 ||
	    (r = template_store_open(config->template_dir, true, &store, err)) < 0 ||
	    (r = template_begin(store, description, vm_config_built_mib(&machine) << 20, &draft,
			    err)) < 0)
		return r;
	if (!replace && is_there(store, description, config))
		return 0;
	template_make_room(store);
	r = fill(draft, driver, &machine, config->boot_timeout_ms + PREPARE_TIMEOUT_MS, err);
	return r < 0 ? r : template_commit(TAKE_PTR(draft), description, err);
}

/* ---- as a process of its own ---- */

static void __attribute__((noreturn)) become_maker(char **argv)
{
	char *const environment[] = { NULL };

	loop_child_reset();
	if (setsid() < 0 || fd_null_stdio() < 0 || fd_close_from(STDERR_FILENO + 1, NULL, 0) < 0)
		_exit(1);
	/* A template is the machine's: no container pays for it, or has to wait for it to go. */
	hostcgroup_enter_top();
	execve("/proc/self/exe", argv, environment);
	_exit(1);
}

int template_maker_launch(const struct config *config, enum vm_accel accel, unsigned int vcpus,
			  uint64_t memory_mib)
{
	struct monitor_args args = { .root = (char *)"/",
				     .id = (char *)"template",
				     .vcpus = vcpus,
				     .memory_mib = memory_mib,
				     .config = *config };
	char **argv;
	pid_t pid;

	/* What has been chosen, so that the maker does not probe again. */
	args.config.accel = (char *)(uintptr_t)vm_accel_name(accel);
	argv = monitor_argv(TEMPLATE_MAKER_ROLE, &args);
	if (!argv)
		return -ENOMEM;
	/* The child between ends at once: the maker is nobody's child, and nobody waits for it. */
	pid = fork();
	if (pid == 0)
		fork() == 0 ? become_maker(argv) : _exit(0);
	monitor_argv_free(argv);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int template_maker_main(int argc, char **argv)
{
	struct monitor_args args;
	struct err err = ERR_INIT;
	enum vm_accel accel;
	int r;

	prctl(PR_SET_NAME, "onggi-template");
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	r = monitor_args_parse(argc, argv, &args, &err);
	if (r < 0)
		return 1;
	accel = strcmp(args.config.accel, vm_accel_name(VM_ACCEL_KVM)) == 0 ? VM_ACCEL_KVM
									    : VM_ACCEL_TCG;
	return template_make(&args.config, accel, args.vcpus, args.memory_mib, false, &err) < 0 ? 1 : 0;
}
