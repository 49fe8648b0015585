/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * F_NOTIFY and not inotify: of inotify's instances a user has 128 by default, and root's are what engines and
 * systemd live on; one per sandbox would use them up. The signal (SIGIO) says that something was deleted in one of
 * the folders; which one is looked up: what is missing is the record, which is otherwise only ever replaced. The
 * monitor itself deletes records only of what it has forgotten before.
 */
#include "shim/sandbox_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

static bool record_is_gone(int dirfd)
{
	return faccessat(dirfd, "state.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static void nothing_to_do(enum ttrpc_code code, const char *message, void *userdata)
{
}

static void on_deleted(const struct signalfd_siginfo *info, void *userdata)
{
	struct sandbox *s = userdata;

	if (s->finished)
		return;
	if (record_is_gone(s->dirfd)) {
		sandbox_log(s, LOG_LEVEL_WARNING, "the sandbox's folder has been removed: it is ended");
		sandbox_watch_stop(s);
		s->on_empty(s->userdata);
		return;
	}
	for (struct task *c = s->containers; c; c = c->next) {
		if (c->abandoned || c->folder_fd < 0 || !record_is_gone(c->folder_fd))
			continue;
		c->abandoned = true;
		sandbox_log(s, LOG_LEVEL_WARNING, "the folder of container '%s' has been removed: it is ended",
			    c->record->id);
		if (task_is_alive(c))
			proc_signal(c->init, SIGKILL, true, nothing_to_do, NULL);
	}
	sandbox_settle(s);
}

static bool notify(int dirfd)
{
	return fcntl(dirfd, F_NOTIFY, DN_DELETE | DN_MULTISHOT) == 0;
}

int sandbox_watch_start(struct sandbox *s)
{
	int r = loop_add_signal(s->loop, SIGIO, on_deleted, s, &s->watch);

	if (r == 0 && !notify(s->dirfd))
		sandbox_log(s, LOG_LEVEL_INFO, "the kernel does not tell of removed folders: %s", strerror(errno));
	return r;
}

void sandbox_watch_stop(struct sandbox *s)
{
	loop_source_destroy(TAKE_PTR(s->watch));
}

void sandbox_watch_container(struct task *c)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "containers/%s", c->record->id) < 0) {
		path = NULL;
		return;
	}
	c->folder_fd = openat(c->sandbox->rootfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->folder_fd >= 0 && !notify(c->folder_fd))
		cleanup_close_p(&c->folder_fd);
}

static struct task *find_abandoned(struct sandbox *s)
{
	for (struct task *c = s->containers; c; c = c->next) {
		if (c->abandoned && !c->creation && !c->deleting &&
		    (c->record->status == CONTAINER_STOPPED || c->record->status == CONTAINER_CREATED))
			return c;
	}
	return NULL;
}

void sandbox_watch_sweep(struct sandbox *s)
{
	struct task *c;

	/* Each is being deleted then, or gone. */
	while ((c = find_abandoned(s)))
		task_delete(c, nothing_to_do, NULL);
}
