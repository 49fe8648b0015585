/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * What can fail on the host is done first (bundle, FIFOs, mounts), while the guest may still be
 * booting; then the agent is asked. The engine's answer comes last, when the rootfs of a read-only
 * container has been closed for writing: until then the agent made mount points in it, and no code
 * of the container has run.
 */
#include "shim/task_create.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "common/path.h"
#include "common/proto/agent.pb-c.h"
#include "common/trace.h"
#include "shim/resolv.h"
#include "shim/sandbox_dns.h"
#include "shim/hooks.h"
#include "shim/sandbox_cgroup.h"
#include "shim/sandbox_watch.h"
#include "shim/task_disk.h"
#include "shim/task_rootfs.h"
#include "shim/sandbox_machine.h"
#include "shim/task_oom.h"

/* Warnings of the agent that are logged. */
#define WARNINGS_MAX 32

void task_creation_free(struct task_creation *creation)
{
	if (!creation)
		return;
	oci_spec_free(creation->spec);
	free(creation->text);
	free(creation->open_below);
	free(creation->pod_shm);
	free(creation);
}

/* ---- failing ---- */

/* Nothing is left of @c then but what calls in flight hold. */
static void fail(struct task *c, enum ttrpc_code code, const char *message)
{
	struct task_creation *creation = TAKE_PTR(c->creation);

	if (c->init)
		relay_abandon(c->init->io);
	task_ref(c);
	task_remove(c);
	/* Who hears of it may look for what is left. */
	if (creation && creation->done)
		creation->done(code, message, creation->userdata);
	task_creation_free(creation);
	task_unref(c);
}

static void fail_err(struct task *c, int r, const struct err *err)
{
	fail(c, ttrpc_code_from_errno(r), err->text[0] ? err->text : strerror(-r));
}

/* ---- asking the agent ---- */

static bool close_rootfs(struct task *c)
{
	struct sandbox *s = c->sandbox;
	_cleanup_free_ char *path = NULL;
	struct err err = ERR_INIT;
	int r;

	if (!c->creation->spec->root_readonly || c->disks)
		return true;
	if (asprintf(&path, "%s/rootfs", c->record->id) < 0) {
		path = NULL;
		fail(c, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return false;
	}
	r = s->options.files->set_readonly(s->files, path, &err);
	if (r < 0) {
		err_prefix(&err, "make the rootfs read-only");
		fail_err(c, r, &err);
	}
	return r >= 0;
}

static void log_warnings(struct task *c, const Onggi__Agent__V1__CreateContainerResponse *answer)
{
	char text[AGENT_TEXT_MAX];

	for (size_t i = 0; i < answer->n_warnings && i < WARNINGS_MAX; i++) {
		agent_text(text, sizeof(text), answer->warnings[i]);
		sandbox_log(c->sandbox, LOG_LEVEL_WARNING, "container '%s': %s", c->record->id,
			    text);
	}
}

static void succeed(struct task *c)
{
	struct task_creation *creation = c->creation;
	struct err err = ERR_INIT;
	int r;

	c->record->status = CONTAINER_CREATED;
	r = task_save(c, &err);
	if (r < 0) {
		fail_err(c, r, &err);
		return;
	}
	c->creation = NULL;
	creation->done(TTRPC_OK, "", creation->userdata);
	task_creation_free(creation);
	task_oom_watch(c);
	proc_set_created(c->init);
}

static void remove_from_guest_done(enum ttrpc_code code, const char *message, const void *response,
				   void *userdata)
{
	struct task *c = userdata;

	if (code != TTRPC_OK && code != TTRPC_NOT_FOUND && !agent_code_is_loss(code))
		sandbox_give_up(c->sandbox,
				"the agent cannot remove what is left of container '%s'",
				c->record->id);
	task_unref(c);
}

static void remove_from_guest(struct task *c)
{
	Onggi__Agent__V1__ContainerRef ref = ONGGI__AGENT__V1__CONTAINER_REF__INIT;

	ref.container_id = c->record->id;
	agent_call(c->sandbox, "RemoveContainer", &ref.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_REMOVE_TIMEOUT_MS, remove_from_guest_done, task_ref(c));
}

static void create_answered(enum ttrpc_code code, const char *message, const void *response,
			    void *userdata)
{
	struct task *c = userdata;
	char text[AGENT_TEXT_MAX];

	if (c->removed || !c->creation) {
		/* Given up meanwhile, by a caller who has left or with the guest. */
		if (!agent_code_is_loss(code))
			remove_from_guest(c);
	} else if (code == TTRPC_OK) {
		trace_mark("container created in the guest");
		log_warnings(c, response);
		if (close_rootfs(c))
			succeed(c);
		else
			remove_from_guest(c);
	} else if (!agent_code_is_loss(code)) {
		if (code == TTRPC_DEADLINE_EXCEEDED)
			remove_from_guest(c);
		agent_text(text, sizeof(text), message);
		fail(c, code, text);
	}
	/* When the channel is lost task_guest_lost follows, which knows why. */
	task_unref(c);
}

static size_t fill_mounts(const struct task *c, Onggi__Agent__V1__MountSource *sources,
			  Onggi__Agent__V1__MountSource **list, char **paths)
{
	const struct oci_spec *spec = c->creation->spec;
	size_t n = 0;

	for (size_t i = 0; i < spec->n_mounts; i++) {
		if (!spec->mounts[i].is_bind)
			continue;
		onggi__agent__v1__mount_source__init(&sources[n]);
		if ((c->creation->pod_shm[i]
			     ? asprintf(&paths[n], SANDBOX_GUEST_SHM)
			     : asprintf(&paths[n], SANDBOX_GUEST_SHARE "/%s/m%zu", c->record->id, i)) < 0)
			paths[n] = NULL;
		sources[n].index = (uint32_t)i;
		sources[n].path = paths[n];
		sources[n].has_mounts_below = c->creation->open_below[i];
		list[n] = &sources[n];
		n++;
	}
	return n;
}

static size_t fill_namespaces(struct task *c, Onggi__Agent__V1__SharedNamespace *shared,
			      Onggi__Agent__V1__SharedNamespace **list)
{
	size_t n = 0;

	for (enum oci_namespace ns = 0; ns < OCI_NS_COUNT; ns++) {
		if (!c->namespace_keys[ns][0])
			continue;
		onggi__agent__v1__shared_namespace__init(&shared[n]);
		shared[n].type = (char *)(uintptr_t)oci_namespace_name(ns);
		shared[n].key = c->namespace_keys[ns];
		list[n] = &shared[n];
		n++;
	}
	return n;
}

static void free_paths(char **paths, size_t n)
{
	for (size_t i = 0; paths && i < n; i++)
		free(paths[i]);
	free(paths);
}

static void ask_agent(struct task *c)
{
	Onggi__Agent__V1__CreateContainerRequest request =
		ONGGI__AGENT__V1__CREATE_CONTAINER_REQUEST__INIT;
	Onggi__Agent__V1__SharedNamespace shared[OCI_NS_COUNT], *shared_list[OCI_NS_COUNT];
	Onggi__Agent__V1__RootDisk disks[TASK_DISKS_MAX], *disk_list[TASK_DISKS_MAX];
	size_t n = c->creation->spec->n_mounts + 1;
	_cleanup_free_ Onggi__Agent__V1__MountSource *sources = calloc(n, sizeof(*sources));
	_cleanup_free_ Onggi__Agent__V1__MountSource **list = calloc(n, sizeof(*list));
	_cleanup_free_ char *rootfs = NULL;
	_cleanup_free_ char *hook_state = hooks_state(c->record, CONTAINER_CREATED);
	char **paths = calloc(n, sizeof(*paths));

	if (!sources || !list || !paths || !hook_state ||
	    asprintf(&rootfs, SANDBOX_GUEST_SHARE "/%s/rootfs", c->record->id) < 0) {
		free(paths);
		rootfs = NULL;
		fail(c, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	request.container_id = c->record->id;
	request.spec = (ProtobufCBinaryData){ .data = (uint8_t *)c->creation->text,
					      .len = c->creation->len };
	request.disks = disk_list;
	request.n_disks = task_disks_describe(c, disks, disk_list);
	request.rootfs = request.n_disks ? (char *)"" : rootfs;
	request.mounts = list;
	request.n_mounts = fill_mounts(c, sources, list, paths);
	request.namespaces = shared_list;
	request.n_namespaces = fill_namespaces(c, shared, shared_list);
	request.hook_state = c->start_hooks ? hook_state : (char *)"";
	trace_mark("container described to the agent");
	c->creation->sent = c->in_guest = true;
	sandbox_dns_look(c->sandbox, c->resolv_fd);
	agent_call(c->sandbox, "CreateContainer", &request.base,
		   &onggi__agent__v1__create_container_response__descriptor,
		   AGENT_CREATE_TIMEOUT_MS, create_answered, task_ref(c));
	free_paths(paths, n);
}

static void disks_are_in(enum ttrpc_code code, const char *message, void *userdata)
{
	struct task *c = userdata;

	if (!c->removed && c->creation && !c->creation->sent) {
		if (code == TTRPC_OK)
			ask_agent(c);
		else if (!agent_code_is_loss(code))
			fail(c, code, message);
	}
	task_unref(c);
}

/* A guest that cannot be as large as it should be has said so in the log; the limits hold all the same. */
static void machine_fits(enum ttrpc_code code, const char *message, void *userdata)
{
	struct task *c = userdata;

	if (!c->removed && c->creation && !c->creation->sent && !agent_code_is_loss(code))
		task_disks_plug(c, disks_are_in, task_ref(c));
	task_unref(c);
}

void task_guest_ready(struct task *c)
{
	if (c->creation && !c->creation->sent)
		sandbox_machine_fit(c->sandbox, machine_fits, task_ref(c));
}

void task_create_cancel(struct task *c)
{
	if (c->creation)
		fail(c, TTRPC_CANCELED, "who asked for the container has ended");
}

void task_guest_lost(struct task *c, const char *reason)
{
	if (c->removed)
		return;
	if (c->creation) {
		fail(c, TTRPC_UNAVAILABLE, reason);
		return;
	}
	/* Told and kept: the monitor's log goes with the sandbox. */
	if (c->init && c->init->state != PROC_STOPPED && !c->record->lost_reason)
		c->record->lost_reason = strdup(reason);
	for (struct proc *p = c->execs, *next; p; p = next) {
		next = p->next;
		proc_lost(p, reason);
	}
	if (c->init)
		proc_lost(c->init, reason);
}

/* ---- preparing ---- */

static int read_spec(struct task *c, struct err *err)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/config.json", c->record->bundle) < 0)
		return path = NULL, -ENOMEM;
	r = io_read_file(AT_FDCWD, path, OCI_SPEC_BYTES_MAX, &c->creation->text, &c->creation->len);
	if (r < 0)
		return err_set_errno(err, r, "'%s'", path);
	r = oci_spec_parse(c->creation->text, c->creation->len, &c->creation->spec, err);
	if (r < 0)
		err_prefix(err, "'%s'", path);
	return r;
}

static int fill_annotations(struct container_record *record, const struct oci_spec *spec)
{
	size_t n = 0;

	record->annotations = calloc(2 * spec->n_annotations + 1, sizeof(char *));
	if (!record->annotations)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_annotations; i++) {
		if (!(record->annotations[n++] = strdup(spec->annotations[i].key)) ||
		    !(record->annotations[n++] = strdup(spec->annotations[i].value)))
			return -ENOMEM;
	}
	return 0;
}

static char *format_now(void)
{
	struct timespec now;
	struct tm tm;
	char day[32], *text;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	return asprintf(&text, "%s.%09ldZ", day, now.tv_nsec) < 0 ? NULL : text;
}

static int fill_record(struct container_record *record, const struct oci_spec *spec)
{
	int r;

	r = spec->root_path[0] == '/'
		    ? asprintf(&record->rootfs, "%s", spec->root_path)
		    : asprintf(&record->rootfs, "%s/%s", record->bundle, spec->root_path);
	if (r < 0)
		return record->rootfs = NULL, -ENOMEM;
	record->oci_version = strdup(spec->oci_version);
	record->created = format_now();
	if (!record->oci_version || !record->created)
		return -ENOMEM;
	return fill_annotations(record, spec);
}

/* What is looked up by its path: bundle, root, sources of mounts. */
static int prepare_host(struct task *c, const struct task_config *config, struct err *err)
{
	struct proc_config init = { .exec_id = "", .io = config->io };
	int r;

	r = read_spec(c, err);
	if (r < 0)
		return r;
	if (!c->creation->spec->has_process)
		return err_set(err, -EINVAL, "container without a process");
	if (c->creation->spec->process.terminal != config->io.terminal)
		return err_set(err, -EINVAL, "field 'process.terminal' and the request differ");
	c->start_hooks = c->creation->spec->n_hooks[OCI_HOOK_START_CONTAINER] > 0;
	machine_need_update(&c->need, &c->creation->spec->resources);
	for (enum oci_hook_kind kind = 0; kind < OCI_HOOK_COUNT; kind++)
		c->hook_kinds |= (c->creation->spec->n_hooks[kind] > 0) << kind;
	c->record->hook_kinds = c->hook_kinds | RECORD_HOOKS_KNOWN;
	if ((r = fill_record(c->record, c->creation->spec)) < 0)
		return err_set_errno(err, r, "record");
	if ((r = task_choose_namespaces(c, c->creation->spec, err)) < 0 ||
	    (r = proc_create(c, &init, &c->init, err)) < 0 || (r = task_save(c, err)) < 0 ||
	    (r = task_cgroup_attach(c, &c->creation->spec->resources, err)) < 0 ||
	    (r = task_rootfs_mount(c, config->rootfs, config->n_rootfs, err)) < 0 ||
	    (r = task_attach_mounts(c, c->creation->spec, err)) < 0)
		return r;
	sandbox_watch_container(c);
	r = resolv_open(c->creation->spec, c->record->bundle);
	c->resolv_fd = r < 0 ? -EBADF : r;
	return 0;
}

static int prepare(struct task *c, const struct task_config *config, struct err *err)
{
	int r = config->mount_ns >= 0 ? hostshare_visit(c->sandbox->share, config->mount_ns) : 0;

	if (r < 0)
		return err_set_errno(err, r, "mount namespace of the caller");
	r = prepare_host(c, config, err);
	hostshare_return(c->sandbox->share);
	return r < 0 ? r : sandbox_need_vm(c->sandbox, err);
}

static struct task *task_new(struct sandbox *s, const struct task_config *config, proc_done_fn done,
			     void *userdata)
{
	_cleanup_(task_unref_p) struct task *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	c->folder_fd = c->resolv_fd = -EBADF;
	c->sandbox = s;
	c->serial = s->next_serial++;
	c->creation = calloc(1, sizeof(*c->creation));
	c->record = calloc(1, sizeof(*c->record));
	if (!c->creation || !c->record)
		return NULL;
	c->record->id = strdup(config->id);
	c->record->sandbox = strdup(s->id);
	c->record->bundle = strdup(config->bundle);
	c->record->stand_in = s->options.publisher ? getpid() : 0;
	if (!c->record->id || !c->record->sandbox || !c->record->bundle)
		return NULL;
	c->record->status = CONTAINER_CREATING;
	c->creation->done = done;
	c->creation->userdata = userdata;
	return TAKE_PTR(c);
}

static const char *refuse(struct sandbox *s, const struct task_config *config, enum ttrpc_code *ret)
{
	*ret = TTRPC_INVALID_ARGUMENT;
	if (!path_id_valid(config->id))
		return "no valid container id";
	if (config->bundle[0] != '/')
		return "path of the bundle must be absolute";
	*ret = TTRPC_ALREADY_EXISTS;
	if (task_find(s, config->id))
		return "container exists already";
	*ret = TTRPC_RESOURCE_EXHAUSTED;
	if (s->n_containers >= SANDBOX_CONTAINERS_MAX)
		return "the sandbox holds no more containers";
	*ret = TTRPC_ABORTED;
	return s->finished ? "the sandbox is ending" : NULL;
}

void task_create(struct sandbox *s, const struct task_config *config, proc_done_fn done,
		 void *userdata)
{
	struct err err = ERR_INIT;
	enum ttrpc_code code;
	const char *reason = refuse(s, config, &code);
	struct task *c;
	int r;

	if (reason) {
		done(code, reason, userdata);
		return;
	}
	c = task_new(s, config, done, userdata);
	if (!c) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	/* From here on the containers say how long all lives. */
	loop_source_destroy(TAKE_PTR(s->idle));
	c->next = s->containers;
	s->containers = c;
	s->n_containers++;
	r = prepare(c, config, &err);
	if (r < 0)
		fail_err(c, r, &err);
	else if (s->phase == SANDBOX_READY)
		task_guest_ready(c);
}
