/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Whatever ends the VM or the sandbox is deferred to one timer ("work"), because it is noticed deep
 * inside of callbacks of the very objects that it destroys. work_now looks at the facts in a fixed
 * order: is there a reason to give up the VM, does anything still need it, is any container left.
 */
#include "shim/sandbox.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "common/log.h"
#include "common/path.h"
#include "hypervisor/accel.h"
#include "shim/monitor.h"
#include "shim/sandbox_forward.h"
#include "shim/sandbox_machine.h"
#include "shim/sandbox_network.h"
#include "shim/sandbox_template.h"
#include "shim/sandbox_vm.h"
#include "shim/sandbox_watch.h"
#include "shim/task.h"

/* From the first noise of a death to its being believed, while others may tell more. */
#define SUSPICION_GRACE_MS 3000

void sandbox_log(struct sandbox *s, enum log_level level, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	va_list ap;
	int n;

	/* What the guest makes us say must not fill the host's memory, where the log lives. */
	if (s->log_bytes > SANDBOX_LOG_BYTES_MAX)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->log_bytes += n > 0 ? (size_t)n : 0;
	log_write(level, "%s", text);
	if (s->log_bytes > SANDBOX_LOG_BYTES_MAX)
		log_write(LOG_LEVEL_WARNING, "the log has reached its limit");
}

/* ---- giving up, settling, finishing ---- */

/* The containers that are there now; each may leave the list meanwhile. */
static void tell_all_lost(struct sandbox *s, const char *reason)
{
	struct task *c = s->containers, *next;

	if (c)
		task_ref(c);
	while (c) {
		task_guest_lost(c, reason);
		next = c->next;
		if (next)
			task_ref(next);
		task_unref(c);
		c = next;
	}
}

/*
 * A template makes a start faster, never makes it fail: nothing has run in the VM yet, so another
 * one that boots takes its place.
 */
static bool boot_instead(struct sandbox *s)
{
	struct err err = ERR_INIT;

	if (s->phase != SANDBOX_BOOTING || !s->restored)
		return false;
	sandbox_log(s, LOG_LEVEL_WARNING, "template %s does not work, boot instead: %s",
		    s->template_name, s->lost_reason);
	sandbox_template_failed(s);
	sandbox_vm_stop(s);
	if (sandbox_vm_start(s, &err) == 0)
		return true;
	s->lost_reason = strdup(err.text);
	return false;
}

static void lose_vm(struct sandbox *s)
{
	char text[2 * AGENT_TEXT_MAX];
	_cleanup_free_ char *reason = NULL;

	if (boot_instead(s))
		return;
	reason = TAKE_PTR(s->lost_reason);
	sandbox_log(s, LOG_LEVEL_ERROR, "the sandbox's VM is given up: %s", reason);
	free(s->last_loss);
	s->last_loss = strdup(reason ? reason : "");
	/* First the records and answers, then what takes time. */
	s->phase = SANDBOX_DOWN;
	tell_all_lost(s, reason);
	/* Who waits for something else of the guest is to hear why, too. */
	snprintf(text, sizeof(text), "the virtual machine was lost: %s", reason ? reason : "");
	if (s->agent)
		ttrpc_client_abandon(s->agent, TTRPC_UNAVAILABLE, text);
	sandbox_vm_stop(s);
}

static bool needs_vm(const struct sandbox *s)
{
	for (const struct task *c = s->containers; c; c = c->next) {
		if (task_needs_vm(c))
			return true;
	}
	return false;
}

static void remove_from_disk(struct sandbox *s)
{
	_cleanup_free_ char *path = NULL;

	hostshare_destroy(TAKE_PTR(s->share));
	if (asprintf(&path, "sandboxes/%s", s->id) < 0)
		path = NULL;
	if (path)
		path_remove_tree(s->rootfd, path);
}

void sandbox_finish_if_empty(struct sandbox *s)
{
	if (s->containers || s->finished)
		return;
	s->finished = true;
	sandbox_vm_stop(s);
	remove_from_disk(s);
	sandbox_settle(s);
}

static void work_now(void *userdata)
{
	struct sandbox *s = userdata;

	if (s->lost_reason)
		lose_vm(s);
	for (struct task *c = s->containers; c; c = c->next)
		task_sweep(c);
	sandbox_watch_sweep(s);
	/* Until something has been created the VM boots for what is to come. */
	if (s->phase != SANDBOX_DOWN && !s->idle && !needs_vm(s))
		sandbox_vm_stop(s);
	sandbox_machine_fit(s, NULL, NULL);
	if (!s->containers && !s->idle) {
		sandbox_finish_if_empty(s);
		s->on_empty(s->userdata);
	}
}

void sandbox_settle(struct sandbox *s)
{
	if (s->work)
		loop_timer_set(s->work, 0);
}

void sandbox_give_up(struct sandbox *s, const char *fmt, ...)
{
	va_list ap;

	if (s->lost_reason || s->phase == SANDBOX_DOWN)
		return;
	va_start(ap, fmt);
	if (vasprintf(&s->lost_reason, fmt, ap) < 0)
		s->lost_reason = strdup("out of memory");
	va_end(ap);
	sandbox_settle(s);
}

static void grace_is_over(void *userdata)
{
	struct sandbox *s = userdata;

	loop_source_destroy(TAKE_PTR(s->grace));
	if (!s->lost_reason)
		s->lost_reason = TAKE_PTR(s->suspicion);
	sandbox_settle(s);
}

void sandbox_suspect(struct sandbox *s, enum sandbox_witness witness, const char *fmt, ...)
{
	bool all_told = s->vmm_ended && s->files_ended;
	char *text;
	va_list ap;

	if (s->lost_reason || s->phase == SANDBOX_DOWN)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = strdup("out of memory");
	va_end(ap);
	if (!s->suspicion || witness < s->witness) {
		free(s->suspicion);
		s->suspicion = TAKE_PTR(text);
		s->witness = witness;
	}
	free(text);
	if (s->grace && all_told)
		loop_timer_set(s->grace, 0);
	else if (!s->grace && loop_add_timer(s->loop, all_told ? 0 : SUSPICION_GRACE_MS,
					     grace_is_over, s, &s->grace) < 0)
		grace_is_over(s);
}

void sandbox_clear_suspicion(struct sandbox *s)
{
	loop_source_destroy(TAKE_PTR(s->grace));
	free(TAKE_PTR(s->suspicion));
	s->vmm_ended = s->files_ended = false;
}

static void idle_too_long(void *userdata)
{
	struct sandbox *s = userdata;

	loop_source_destroy(TAKE_PTR(s->idle));
	sandbox_settle(s);
}

/* ---- life ---- */

static int copy_options(struct sandbox *s, const struct sandbox_options *options)
{
	s->options = *options;
	machine_bounds_of(options->config, &s->machine.bounds);
	s->root = strdup(options->root);
	s->id = strdup(options->id);
	s->record = calloc(1, sizeof(*s->record));
	if (!s->root || !s->id || !s->record ||
	    asprintf(&s->dir, "%s/sandboxes/%s", s->root, s->id) < 0)
		return -ENOMEM;
	s->options.root = s->root;
	s->options.id = s->id;
	s->options.cri_sandbox_id = s->options.netns_path = NULL;
	s->record->id = strdup(options->id);
	s->record->netns_dev = options->netns_dev;
	s->record->netns_ino = options->netns_ino;
	if (!s->record->id)
		return -ENOMEM;
	if (options->cri_sandbox_id) {
		s->record->cri_sandbox_id = strdup(options->cri_sandbox_id);
		if (!s->record->cri_sandbox_id)
			return -ENOMEM;
	}
	if (options->netns_path) {
		s->record->netns_path = strdup(options->netns_path);
		if (!s->record->netns_path)
			return -ENOMEM;
	}
	return process_id_of(getpid(), &s->record->monitor);
}

static int choose_accelerator(struct sandbox *s, struct err *err)
{
	_cleanup_free_ char *cache = NULL;
	enum accel_policy policy;
	int r;

	r = accel_policy_parse(s->options.config->accel, &policy);
	if (r < 0)
		return err_set(err, r, "field 'accel': unknown value '%s'",
			       s->options.config->accel);
	if (asprintf(&cache, "%s/cache", s->root) < 0)
		return cache = NULL, -ENOMEM;
	r = accel_choose(policy, cache, &s->accel, err);
	if (r == 0 && policy == ACCEL_POLICY_AUTO && s->accel == VM_ACCEL_TCG)
		log_warning("KVM does not work here: the VM is emulated, which is no security boundary");
	return r;
}

static int open_folders(struct sandbox *s, struct err *err)
{
	int r;

	r = state_open_root(s->root, &s->rootfd, err);
	if (r < 0)
		return r;
	s->dirfd = open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dirfd < 0)
		return err_set_errno(err, -errno, "sandbox folder '%s'", s->dir);
	return sandbox_record_save(s->rootfd, s->record, err);
}

/* For port-forward of pods. Without it they work all the same. */
static void forward_loopback(struct sandbox *s)
{
	struct err err = ERR_INIT;

	if (s->record->cri_sandbox_id && sandbox_forward_create(s, &s->forward, &err) < 0)
		sandbox_log(s, LOG_LEVEL_WARNING, "no port-forward: %s", err.text);
}

int sandbox_create(struct loop *loop, const struct sandbox_options *options,
		   void (*on_empty)(void *userdata), void *userdata, struct sandbox **ret,
		   struct err *err)
{
	_cleanup_(sandbox_destroy_p) struct sandbox *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->rootfd = s->dirfd = -EBADF;
	s->on_empty = on_empty;
	s->userdata = userdata;
	r = copy_options(s, options);
	if (r < 0)
		return err_set_errno(err, r, "sandbox '%s'", options->id);
	if ((r = loop_add_timer(loop, 0, work_now, s, &s->work)) < 0 ||
	    (r = loop_timer_disarm(s->work)) < 0 ||
	    (r = loop_add_timer(loop, MONITOR_IDLE_TIMEOUT_MS, idle_too_long, s, &s->idle)) < 0)
		return err_set_errno(err, r, "timers");
	r = open_folders(s, err);
	if (r < 0)
		return r;
	r = sandbox_watch_start(s);
	if (r < 0)
		return err_set_errno(err, r, "signals");
	*ret = TAKE_PTR(s);
	return 0;
}

int sandbox_start(struct sandbox *s, struct err *err)
{
	int r = choose_accelerator(s, err);

	if (r >= 0)
		r = hostshare_create(s->dirfd, s->dir, &s->share, err);
	if (r >= 0 && s->options.network)
		r = sandbox_network_create(s, &s->network, err);
	if (r >= 0 && s->options.network)
		forward_loopback(s);
	return r < 0 ? r : sandbox_vm_start(s, err);
}

int sandbox_need_vm(struct sandbox *s, struct err *err)
{
	if (s->lost_reason)
		return err_set(err, -EPIPE, "the sandbox's VM is ending: %s", s->lost_reason);
	return s->phase == SANDBOX_DOWN ? sandbox_vm_start(s, err) : 0;
}

void sandbox_shut_down(struct sandbox *s)
{
	if (!s || s->finished)
		return;
	s->phase = SANDBOX_DOWN;
	tell_all_lost(s, "the sandbox monitor is ending");
	sandbox_vm_stop(s);
	while (s->containers)
		task_drop(s->containers);
	s->finished = true;
	if (s->dirfd >= 0)
		remove_from_disk(s);
}

void sandbox_abandon(struct sandbox *s)
{
	if (s->containers)
		return;
	loop_source_destroy(TAKE_PTR(s->idle));
	sandbox_settle(s);
}

void sandbox_destroy(struct sandbox *s)
{
	if (!s)
		return;
	sandbox_shut_down(s);
	sandbox_forward_destroy(s->forward);
	sandbox_network_destroy(s->network);
	loop_source_destroy(s->work);
	loop_source_destroy(s->idle);
	sandbox_watch_stop(s);
	cleanup_close_p(&s->dirfd);
	cleanup_close_p(&s->rootfd);
	sandbox_record_free(s->record);
	sandbox_clear_suspicion(s);
	free(s->lost_reason);
	free(s->last_loss);
	free(s->dir);
	free(s->root);
	free(s->id);
	free(s);
}
