/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host a container is given: its mounts, and which namespaces it shares. */
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shim/task_create.h"

/* ---- mounts ---- */

static bool wants_later_mounts(const struct oci_mount *m)
{
	for (size_t i = 0; i < m->n_propagation; i++) {
		if (m->propagation[i] & (MS_SLAVE | MS_SHARED))
			return true;
	}
	return false;
}

/*
 * The guest sees the whole as one file system, and a read-only flag of its own would cover what is
 * mounted below with it. So it sets none where the host's mounts differ, now or later.
 */
static int note_below(struct task *c, const struct hostshare_source *source, const char *name,
		      bool *ret_open)
{
	int r = 0;

	if (source->readonly && source->recursive && !source->readonly_below)
		r = source->slave ? 1
				  : hostshare_has_mounts_below(c->sandbox->share, c->record->id, name);
	*ret_open = r > 0;
	return r < 0 ? r : 0;
}

static int attach_bind(struct task *c, const struct oci_mount *m, size_t index, struct err *err)
{
	_cleanup_free_ char *joined = NULL;
	struct hostshare_source source = {
		.path = m->source,
		.recursive = m->is_recursive_bind,
		.readonly = m->flags & MS_RDONLY,
		.readonly_below = m->rec_attr_set & MOUNT_ATTR_RDONLY,
		.slave = wants_later_mounts(m),
	};
	char name[32];
	int r;

	if (!m->source || !m->source[0])
		return err_set(err, -EINVAL, "mount of '%s': a bind mount needs a source",
			       m->destination);
	if (m->source[0] != '/') {
		if (asprintf(&joined, "%s/%s", c->record->bundle, m->source) < 0)
			return joined = NULL, -ENOMEM;
		source.path = joined;
	}
	snprintf(name, sizeof(name), "m%zu", index);
	r = hostshare_attach(c->sandbox->share, c->record->id, name, &source, err);
	if (r >= 0) {
		r = note_below(c, &source, name, &c->creation->open_below[index]);
		if (r < 0)
			err_set_errno(err, r, "look for mounts below '%s'", source.path);
	}
	if (r < 0)
		err_prefix(err, "mount of '%s'", m->destination);
	return r;
}

/* As the agent has it: its own namespace. */
#define KEY_OF_GUEST "vm"

static bool propagates(const char *propagation)
{
	static const char *const words[] = { "slave", "rslave", "shared", "rshared" };

	for (size_t i = 0; propagation && i < ARRAY_SIZE(words); i++) {
		if (strcmp(propagation, words[i]) == 0)
			return true;
	}
	return false;
}

/*
 * The shared memory that an engine mounts for a pod's containers. Its place is the guest's memory: through the file server
 * the same file would be other memory in each container. containerd: <state>/sandboxes/<sandbox id>/shm; CRI-O:
 * <storage>/<sandbox id>/userdata/shm; the host's for a pod that wants the host's ipc.
 */
static bool is_pod_shm(const struct task *c, const struct oci_mount *m)
{
	const char *id = c->sandbox->record->cri_sandbox_id, *name = m->source ? strrchr(m->source, '/') : NULL;

	if (!id || !id[0] || !m->is_bind || !name || strcmp(m->destination, SANDBOX_GUEST_SHM) != 0 ||
	    strcmp(name, "/shm") != 0)
		return false;
	return strstr(m->source, id) || !strcmp(m->source, SANDBOX_GUEST_SHM);
}

struct rootfs_args {
	struct task *c;
	const struct oci_spec *spec;
	struct err *err;
};

static int attach_rootfs(void *userdata)
{
	const struct rootfs_args *args = userdata;
	struct task *c = args->c;
	struct hostshare_source rootfs = { .path = c->record->rootfs,
					   .recursive = true,
					   .slave = propagates(args->spec->rootfs_propagation),
					   .is_directory = true };

	return hostshare_attach(c->sandbox->share, c->record->id, "rootfs", &rootfs, args->err);
}

/* What we have mounted ourselves is to be seen by us alone. */
static int attach_root(struct task *c, const struct oci_spec *spec, struct err *err)
{
	struct rootfs_args args = { c, spec, err };
	int r = 0;

	if (c->rootfs_mounts)
		r = hostshare_run_home(c->sandbox->share, attach_rootfs, &args);
	else if (!c->disks)
		r = attach_rootfs(&args);
	if (r < 0)
		err_prefix(err, "rootfs");
	return r;
}

int task_attach_mounts(struct task *c, const struct oci_spec *spec, struct err *err)
{
	int r;

	c->creation->open_below = calloc(spec->n_mounts + 1, sizeof(bool));
	c->creation->pod_shm = calloc(spec->n_mounts + 1, sizeof(bool));
	if (!c->creation->open_below || !c->creation->pod_shm)
		return -ENOMEM;

	r = hostshare_add_container(c->sandbox->share, c->record->id, err);
	if (r < 0)
		return r;
	r = attach_root(c, spec, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		c->creation->pod_shm[i] = is_pod_shm(c, &spec->mounts[i]);
		if (!spec->mounts[i].is_bind || c->creation->pod_shm[i])
			continue;
		r = attach_bind(c, &spec->mounts[i], i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- namespaces ---- */

/* Those that containers of one VM can share by name. The network is the VM's own. */
static const bool can_share[OCI_NS_COUNT] = {
	[OCI_NS_PID] = true,  [OCI_NS_IPC] = true,    [OCI_NS_UTS] = true,
	[OCI_NS_USER] = true, [OCI_NS_CGROUP] = true,
};

/*
 * For containerd all containers of a VM have one pid, ours. Who names namespaces by it means those of the pod, which are the
 * first container's (CRI's sandbox container).
 */
static struct task *first_one(struct sandbox *s, const struct task *except)
{
	struct task *first = NULL;

	for (struct task *c = s->containers; c; c = c->next) {
		if (c != except && task_is_alive(c))
			first = c;
	}
	return first;
}

/* The container whose init's proxy has the pid in "/proc/<pid>/ns/<type>". */
static struct task *owner_of_path(struct sandbox *s, const struct task *joiner, const char *path)
{
	int pid, end = 0;

	if (sscanf(path, "/proc/%d/ns/%n", &pid, &end) != 1 || end == 0 || pid <= 0)
		return NULL;
	if (s->options.publisher && pid == getpid())
		return first_one(s, joiner);
	for (struct task *c = s->containers; c; c = c->next) {
		if (c->init && c->init->host_pid == pid)
			return c;
	}
	return NULL;
}

/* Whether @path, "/proc/<pid>/ns/<type>", is of a process that runs our program: a proxy. */
static bool is_proxys(const char *path)
{
	struct stat program, own;
	char exe[64];
	int pid;

	if (sscanf(path, "/proc/%d/ns/", &pid) != 1 || pid <= 0)
		return false;
	snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
	return stat(exe, &program) == 0 && stat("/proc/self/exe", &own) == 0 &&
	       program.st_dev == own.st_dev && program.st_ino == own.st_ino;
}

/*
 * A proxy has a network namespace that means something here, and a PID namespace that does not: another
 * container's proxy stands for that container's namespaces.
 */
static int key_of_path(struct task *c, enum oci_namespace ns, const char *path, char *key,
		       struct err *err)
{
	const struct task *owner = owner_of_path(c->sandbox, c, path);
	const char *type = oci_namespace_name(ns);
	struct stat st, host;
	char own[64];

	if (owner && owner->namespace_keys[ns][0]) {
		memcpy(key, owner->namespace_keys[ns], TASK_NAMESPACE_KEY_MAX);
		return 0;
	}
	/* The first container of a pod asked for the host's. */
	if (owner && c->sandbox->options.publisher && ns != OCI_NS_USER) {
		snprintf(key, TASK_NAMESPACE_KEY_MAX, "%s", KEY_OF_GUEST);
		return 0;
	}
	if (stat(path, &st) < 0)
		return err_set_errno(err, -errno, "%s namespace '%s'", type, path);
	snprintf(own, sizeof(own), "/proc/self/ns/%s", type);
	if (stat(own, &host) < 0)
		return err_set_errno(err, -errno, "%s namespace of the host", type);
	if (st.st_dev == host.st_dev && st.st_ino == host.st_ino)
		return err_set(
			err, -EOPNOTSUPP,
			"%s namespace '%s' is the host's: a container in a VM cannot share it",
			type, path);
	if (is_proxys(path))
		return err_set(
			err, -EOPNOTSUPP,
			"%s namespace '%s' is that of a container in another VM: containers that "
			"share a network (--network container:NAME) share a VM and can share this",
			type, path);
	snprintf(key, TASK_NAMESPACE_KEY_MAX, "%s:%jx:%jx", type, (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	return 0;
}

int task_choose_namespaces(struct task *c, const struct oci_spec *spec, struct err *err)
{
	for (enum oci_namespace ns = 0; ns < OCI_NS_COUNT; ns++) {
		const struct oci_namespace_entry *entry = &spec->namespaces[ns];
		char *key = c->namespace_keys[ns];
		bool apart = !entry->path;
		int r = 0;

		if (!entry->present || ns == OCI_NS_NETWORK)
			continue;
		if (!can_share[ns] && entry->path)
			return err_set(err, -EOPNOTSUPP,
				       "%s namespace '%s': joining one is not supported",
				       oci_namespace_name(ns), entry->path);
		if (entry->path)
			r = key_of_path(c, ns, entry->path, key, err);
		/*
		 * A user namespace of a container in another VM: one with the same mappings is as good,
		 * there is nothing else to share in it.
		 */
		if (r == -EOPNOTSUPP && ns == OCI_NS_USER && spec->n_uid_mappings && spec->n_gid_mappings) {
			apart = true;
			*err = (struct err)ERR_INIT;
			r = 0;
		}
		if (apart && can_share[ns])
			snprintf(key, TASK_NAMESPACE_KEY_MAX, "%s:c:%ju", oci_namespace_name(ns),
				 (uintmax_t)c->serial);
		if (r < 0)
			return r;
	}
	return 0;
}
