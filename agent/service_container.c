/* SPDX-License-Identifier: Apache-2.0 */
/* The methods about a container. */
#include "agent/service_internal.h"

#include <stdlib.h>
#include <string.h>

#include "agent/container_control.h"
#include "agent/disk.h"
#include "common/proto/agent.pb-c.h"

static void on_created(struct container *c, int code, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__CreateContainerResponse response =
		ONGGI__AGENT__V1__CREATE_CONTAINER_RESPONSE__INIT;
	struct ttrpc_call *call = userdata;

	if (code < 0) {
		service_answer_setup_failure(call, code, err, process_program_failed(container_init(c)));
		return;
	}
	response.pid = (uint32_t)process_pid(container_init(c));
	response.warnings = (char **)container_warnings(c);
	while (response.warnings[response.n_warnings])
		response.n_warnings++;
	ttrpc_call_reply(call, &response.base);
}

static int namespace_type(const char *name)
{
	for (int ns = 0; ns < OCI_NS_COUNT; ns++) {
		if (!strcmp(oci_namespace_name((enum oci_namespace)ns), name))
			return ns;
	}
	return -EINVAL;
}

static int read_sources(const Onggi__Agent__V1__CreateContainerRequest *request,
			struct setup_mount_source **ret, struct err *err)
{
	_cleanup_free_ struct setup_mount_source *sources = NULL;

	if (request->n_mounts > OCI_MOUNTS_MAX)
		return err_set(err, -E2BIG, "field 'mounts': %zu entries are over %u", request->n_mounts,
			       OCI_MOUNTS_MAX);
	sources = calloc(request->n_mounts + 1, sizeof(*sources));
	if (!sources)
		return err_set_errno(err, -ENOMEM, "create container");
	for (size_t i = 0; i < request->n_mounts; i++) {
		if (strlen(request->mounts[i]->path) >= SERVICE_PATH_MAX)
			return err_set(err, -EINVAL, "field 'mounts[%zu].path' is too long", i);
		sources[i].index = request->mounts[i]->index;
		sources[i].path = request->mounts[i]->path;
		sources[i].has_mounts_below = request->mounts[i]->has_mounts_below;
	}
	*ret = TAKE_PTR(sources);
	return 0;
}

static int read_shared(const Onggi__Agent__V1__CreateContainerRequest *request,
		       struct setup_shared_namespace shared[OCI_NS_COUNT], struct err *err)
{
	if (request->n_namespaces > OCI_NS_COUNT)
		return err_set(err, -E2BIG, "field 'namespaces': %zu entries are over %d",
			       request->n_namespaces, OCI_NS_COUNT);
	for (size_t i = 0; i < request->n_namespaces; i++) {
		int type = namespace_type(request->namespaces[i]->type);

		if (type < 0)
			return err_set(err, -EINVAL, "field 'namespaces[%zu].type': '%.32s' is no namespace", i,
				       request->namespaces[i]->type);
		shared[i].type = (enum oci_namespace)type;
		shared[i].key = request->namespaces[i]->key;
	}
	return 0;
}

static int read_disks(const Onggi__Agent__V1__CreateContainerRequest *request, struct disk_list *disks,
		      struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < request->n_disks && rc >= 0; i++) {
		const Onggi__Agent__V1__RootDisk *d = request->disks[i];

		rc = disk_list_add(disks, d->serial, d->type, d->options, d->flags, err);
	}
	return rc;
}

int service_create_container(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__CreateContainerRequest *request = message;
	_cleanup_free_ struct setup_mount_source *sources = NULL;
	struct setup_shared_namespace shared[OCI_NS_COUNT];
	_cleanup_(disk_list_finish) struct disk_list disks = { 0 };
	struct container_request create = {
		.id = request->container_id,
		.spec = (const char *)request->spec.data,
		.spec_len = request->spec.len,
		.rootfs = request->rootfs,
		.n_sources = request->n_mounts,
		.shared = shared,
		.n_shared = request->n_namespaces,
		.hook_state = request->hook_state,
	};
	int rc;

	rc = read_sources(request, &sources, err);
	if (rc >= 0)
		rc = read_shared(request, shared, err);
	if (rc >= 0 && strlen(request->rootfs) >= SERVICE_PATH_MAX)
		rc = err_set(err, -EINVAL, "field 'rootfs' is too long");
	if (rc >= 0)
		rc = read_disks(request, &disks, err);
	if (rc < 0)
		return rc;
	create.disks = disks.n ? &disks : NULL;
	create.sources = sources;
	rc = container_create(c->service->containers, &create, on_created, c->call, err);
	return rc < 0 ? rc : SERVICE_ANSWERED;
}

int service_remove_container(const struct service_call *c, const void *message, struct err *err)
{
	int rc = container_remove(c->container, service_on_container_done, c->call, err);

	(void)message;
	return rc < 0 ? rc : SERVICE_ANSWERED;
}

static int set_paused(const struct service_call *c, bool paused, struct err *err)
{
	int rc = container_pause(c->container, paused, service_on_container_done, c->call, err);

	return rc < 0 ? rc : SERVICE_ANSWERED;
}

int service_pause_container(const struct service_call *c, const void *message, struct err *err)
{
	(void)message;
	return set_paused(c, true, err);
}

int service_resume_container(const struct service_call *c, const void *message, struct err *err)
{
	(void)message;
	return set_paused(c, false, err);
}

static void answer_tasks(struct ttrpc_call *call, const struct container_task *tasks, size_t n)
{
	Onggi__Agent__V1__ListProcessesResponse response =
		ONGGI__AGENT__V1__LIST_PROCESSES_RESPONSE__INIT;
	_cleanup_free_ Onggi__Agent__V1__GuestProcess *messages = calloc(n + 1, sizeof(*messages));
	_cleanup_free_ Onggi__Agent__V1__GuestProcess **list = calloc(n + 1, sizeof(*list));

	if (!messages || !list) {
		service_answer_failure(call, -ENOMEM, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		messages[i] = (Onggi__Agent__V1__GuestProcess)ONGGI__AGENT__V1__GUEST_PROCESS__INIT;
		messages[i].pid = (uint32_t)tasks[i].pid;
		messages[i].exec_id = (char *)tasks[i].exec_id;
		messages[i].command = (char *)tasks[i].command;
		list[i] = &messages[i];
	}
	response.processes = list;
	response.n_processes = n;
	ttrpc_call_reply(call, &response.base);
}

int service_list_processes(const struct service_call *c, const void *message, struct err *err)
{
	_cleanup_free_ struct container_task *tasks = NULL;
	size_t n = 0;
	int rc;

	(void)message;
	rc = container_tasks(c->container, &tasks, &n, err);
	if (rc < 0)
		return rc;
	answer_tasks(c->call, tasks, n);
	return SERVICE_ANSWERED;
}
