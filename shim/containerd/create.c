/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/containerd/create.h"

#include <string.h>
#include <sys/stat.h>

#include "common/path.h"
#include "shim/containerd/events.h"
#include "shim/hostcgroup.h"
#include "shim/task_hooks.h"

#define HOOKS(kind) (1u << (kind))

/* ---- the container's folder and cgroup ---- */

static int make_folder(struct sandbox *s, const char *id)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "containers/%s", id) < 0)
		return path = NULL, -ENOMEM;
	/* The shim's start has made it to reserve the id, and perhaps the cgroup's record in it. */
	return mkdirat(s->rootfd, path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static void remove_folder(struct sandbox *s, const char *id)
{
	_cleanup_free_ char *path = NULL;
	struct err err = ERR_INIT;

	/* The last one's cgroup is the one that we live in. */
	if (!s->containers)
		hostcgroup_enter_top();
	if (hostcgroup_remove(s->rootfd, id, &err) < 0)
		sandbox_log(s, LOG_LEVEL_WARNING, "%s", err.text);
	if (asprintf(&path, "containers/%s", id) < 0)
		path = NULL;
	if (path)
		path_remove_tree(s->rootfd, path);
}

/* ---- Create ---- */

struct engine_creation {
	struct sandbox *s;
	Containerd__Task__V2__CreateTaskRequest *request; /* a copy */
	struct task *c;	  /* once it is created */
	char *message;	  /* why it has failed after all */
	enum ttrpc_code code;
	proc_done_fn done;
	void *userdata;
};

static void end(struct engine_creation *creation, enum ttrpc_code code, const char *message)
{
	char text[ERR_TEXT_MAX];

	/* It may be the sandbox's, which may end here. */
	snprintf(text, sizeof(text), "%s", message);
	if (code != TTRPC_OK && !task_find(creation->s, creation->request->id)) {
		/* VMM and file server live in the cgroup that is to be removed. */
		sandbox_finish_if_empty(creation->s);
		remove_folder(creation->s, creation->request->id);
	}
	creation->done(code, text, creation->userdata);
	task_unref(creation->c);
	containerd__task__v2__create_task_request__free_unpacked(creation->request, NULL);
	free(creation->message);
	free(creation);
}

static void undone(enum ttrpc_code code, const char *message, void *userdata)
{
	struct engine_creation *creation = userdata;

	end(creation, creation->code, creation->message ? creation->message : "out of memory");
}

static void hooks_ended(enum ttrpc_code code, const char *message, void *userdata)
{
	struct engine_creation *creation = userdata;

	if (code == TTRPC_OK) {
		event_created(creation->c, creation->request);
		end(creation, TTRPC_OK, "");
	} else if (creation->c->removed) {
		end(creation, code, message);
	} else {
		creation->code = code;
		creation->message = strdup(message);
		task_delete(creation->c, undone, creation);
	}
}

static void created(enum ttrpc_code code, const char *message, void *userdata)
{
	static const enum oci_hook_kind kinds[] = { OCI_HOOK_PRESTART, OCI_HOOK_CREATE_RUNTIME,
						    OCI_HOOK_CREATE_CONTAINER, OCI_HOOK_COUNT };
	const unsigned int wanted = HOOKS(OCI_HOOK_PRESTART) | HOOKS(OCI_HOOK_CREATE_RUNTIME) |
				    HOOKS(OCI_HOOK_CREATE_CONTAINER);
	struct engine_creation *creation = userdata;
	struct task *c = code == TTRPC_OK ? task_find(creation->s, creation->request->id) : NULL;

	if (!c) {
		end(creation, code == TTRPC_OK ? TTRPC_INTERNAL : code, message);
		return;
	}
	creation->c = task_ref(c);
	if (c->hook_kinds & wanted)
		task_run_hooks_of(c, kinds, CONTAINER_CREATING, c->sandbox->options.host_netns_fd,
				  hooks_ended, creation);
	else
		hooks_ended(TTRPC_OK, "", creation);
}

static Containerd__Task__V2__CreateTaskRequest *
copy_request(const Containerd__Task__V2__CreateTaskRequest *request)
{
	size_t len = containerd__task__v2__create_task_request__get_packed_size(request);
	_cleanup_free_ uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		return NULL;
	containerd__task__v2__create_task_request__pack(request, bytes);
	return containerd__task__v2__create_task_request__unpack(NULL, len, bytes);
}

static int fill_rootfs(const Containerd__Task__V2__CreateTaskRequest *request, struct task_mount *mounts,
		       struct err *err)
{
	for (size_t i = 0; i < request->n_rootfs; i++) {
		const Containerd__Task__V2__Mount *m = request->rootfs[i];

		if (m->target[0])
			return err_set(err, -EOPNOTSUPP, "rootfs: a mount below the rootfs ('%s') is not supported",
				       m->target);
		mounts[i] = (struct task_mount){ .type = m->type, .source = m->source,
						 .options = m->options, .n_options = m->n_options };
	}
	return 0;
}

static int prepare(struct sandbox *s, const Containerd__Task__V2__CreateTaskRequest *request,
		   struct task_mount *mounts, struct err *err)
{
	int r;

	if (!path_id_valid(request->id))
		return err_set(err, -EINVAL, "'%.64s' is no valid container id", request->id);
	if (request->n_rootfs > ENGINE_ROOTFS_MOUNTS_MAX)
		return err_set(err, -E2BIG, "rootfs: more than %u mounts", ENGINE_ROOTFS_MOUNTS_MAX);
	r = fill_rootfs(request, mounts, err);
	if (r < 0)
		return r;
	r = make_folder(s, request->id);
	return r < 0 ? err_set_errno(err, r, "folder of container '%s'", request->id) : 0;
}

void engine_create(struct sandbox *s, const Containerd__Task__V2__CreateTaskRequest *request,
		   const struct task_config *config, proc_done_fn done, void *userdata)
{
	struct task_mount mounts[ENGINE_ROOTFS_MOUNTS_MAX];
	struct task_config with_rootfs = *config;
	struct engine_creation *creation;
	struct err err = ERR_INIT;
	int r;

	r = prepare(s, request, mounts, &err);
	if (r < 0) {
		done(ttrpc_code_from_errno(r), err.text, userdata);
		return;
	}
	creation = calloc(1, sizeof(*creation));
	if (creation)
		creation->request = copy_request(request);
	if (!creation || !creation->request) {
		free(creation);
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	creation->s = s;
	creation->done = done;
	creation->userdata = userdata;
	with_rootfs.rootfs = mounts;
	with_rootfs.n_rootfs = request->n_rootfs;
	task_create(s, &with_rootfs, created, creation);
}

/* ---- Start, Delete ---- */

static void poststart_ended(enum ttrpc_code code, const char *message, void *userdata)
{
	struct task *c = userdata;

	/* As the specification has it: for the log. */
	if (code != TTRPC_OK)
		sandbox_log(c->sandbox, LOG_LEVEL_WARNING, "container '%s': %s", c->record->id, message);
	task_unref(c);
}

void engine_started(struct task *c)
{
	static const enum oci_hook_kind kinds[] = { OCI_HOOK_POSTSTART, OCI_HOOK_COUNT };

	if (c->sandbox->options.publisher && (c->hook_kinds & HOOKS(OCI_HOOK_POSTSTART)))
		task_run_hooks_of(c, kinds, CONTAINER_RUNNING, c->sandbox->options.host_netns_fd,
				  poststart_ended, task_ref(c));
}

struct engine_deletion {
	struct task *c;
	proc_done_fn done;
	void *userdata;
};

static void poststop_ended(enum ttrpc_code code, const char *message, void *userdata)
{
	struct engine_deletion *deletion = userdata;
	struct task *c = deletion->c;

	if (code != TTRPC_OK)
		sandbox_log(c->sandbox, LOG_LEVEL_WARNING, "container '%s': %s", c->record->id, message);
	remove_folder(c->sandbox, c->record->id);
	deletion->done(TTRPC_OK, "", deletion->userdata);
	task_unref(c);
	free(deletion);
}

void engine_deleted(struct task *c, proc_done_fn done, void *userdata)
{
	static const enum oci_hook_kind kinds[] = { OCI_HOOK_POSTSTOP, OCI_HOOK_COUNT };
	struct engine_deletion *deletion;

	if (!c->sandbox->options.publisher) {
		done(TTRPC_OK, "", userdata);
		return;
	}
	deletion = calloc(1, sizeof(*deletion));
	if (!deletion) {
		remove_folder(c->sandbox, c->record->id);
		done(TTRPC_OK, "", userdata);
		return;
	}
	*deletion = (struct engine_deletion){ .c = task_ref(c), .done = done, .userdata = userdata };
	if (c->hook_kinds & HOOKS(OCI_HOOK_POSTSTOP))
		task_run_hooks_of(c, kinds, CONTAINER_STOPPED, c->sandbox->options.host_netns_fd,
				  poststop_ended, deletion);
	else
		poststop_ended(TTRPC_OK, "", deletion);
}
