/* SPDX-License-Identifier: Apache-2.0 */
/* The calls about limits and statistics. */
#include <stdlib.h>
#include <string.h>

#include "common/proto/sandbox.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "shim/runtime/client.h"
#include "shim/runtime/client_internal.h"

/* As containerd writes it. */
#define RESOURCES_TYPE_URL "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"

int client_update(struct client *c, const char *id, const char *resources, struct err *err)
{
	const struct client_method m = { CLIENT_TASK_SERVICE, "Update", &containerd__task__v2__empty__descriptor };
	Containerd__Task__V2__UpdateTaskRequest req = CONTAINERD__TASK__V2__UPDATE_TASK_REQUEST__INIT;
	Containerd__Task__V2__Any any = CONTAINERD__TASK__V2__ANY__INIT;

	any.type_url = (char *)RESOURCES_TYPE_URL;
	any.value.data = (uint8_t *)(uintptr_t)resources;
	any.value.len = strlen(resources);
	req.id = (char *)(uintptr_t)id;
	req.resources = &any;
	return client_call_wait(c, id, &m, &req.base, CLIENT_TIMEOUT_MS, NULL, err);
}

static struct client_stats stats_of(const Containerd__Task__V2__StatsResponse *response)
{
	struct client_stats stats = { 0 };

	if (response->stats) {
		stats.metrics = response->stats->value.data;
		stats.len = response->stats->value.len;
	}
	return stats;
}

int client_stats(struct client *c, const char *id, struct client_stats *ret, struct err *err)
{
	const struct client_method m = { CLIENT_TASK_SERVICE, "Stats",
					 &containerd__task__v2__stats_response__descriptor };
	Containerd__Task__V2__StatsRequest req = CONTAINERD__TASK__V2__STATS_REQUEST__INIT;
	Containerd__Task__V2__StatsResponse *response = NULL;
	struct client_stats stats;
	int r;

	req.id = (char *)(uintptr_t)id;
	r = client_call_wait(c, id, &m, &req.base, CLIENT_TIMEOUT_MS, &response, err);
	if (r < 0)
		return r;
	stats = stats_of(response);
	ret->len = stats.len;
	ret->metrics = malloc(stats.len + 1);
	if (ret->metrics && stats.len)
		memcpy(ret->metrics, stats.metrics, stats.len);
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return ret->metrics ? 0 : err_set_errno(err, -ENOMEM, "statistics");
}

void client_stats_finish(struct client_stats *stats)
{
	free(stats->metrics);
	*stats = (struct client_stats){ 0 };
}

struct stats_waiter {
	void (*done)(int code, const struct client_stats *stats, void *userdata);
	void *userdata;
};

static void on_stats(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct client_stats stats = { 0 };
	struct stats_waiter *w = userdata;

	if (response)
		stats = stats_of(response);
	w->done(ttrpc_code_to_errno(code), response ? &stats : NULL, w->userdata);
	free(w);
}

int client_stats_async(struct client *c, const char *id,
		       void (*done)(int code, const struct client_stats *stats, void *userdata),
		       void *userdata, struct err *err)
{
	Containerd__Task__V2__StatsRequest req = CONTAINERD__TASK__V2__STATS_REQUEST__INIT;
	struct stats_waiter *w = malloc(sizeof(*w));
	int r;

	if (!w)
		return err_set_errno(err, -ENOMEM, "statistics");
	*w = (struct stats_waiter){ done, userdata };
	req.id = (char *)(uintptr_t)id;
	r = ttrpc_client_call(c->ttrpc, CLIENT_TASK_SERVICE, "Stats", &req.base,
			      &containerd__task__v2__stats_response__descriptor, CLIENT_TIMEOUT_MS,
			      on_stats, w);
	if (r < 0) {
		free(w);
		return err_set_errno(err, r, "statistics of '%s'", id);
	}
	return 0;
}

struct oom_waiter {
	void (*done)(int code, uint64_t kills, bool ended, void *userdata);
	void *userdata;
};

static void on_oom(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	const Onggi__Sandbox__V1__WaitOomResponse *r = response;
	struct oom_waiter *w = userdata;

	w->done(ttrpc_code_to_errno(code), r ? r->oom_kills : 0, r && r->ended, w->userdata);
	free(w);
}

int client_wait_oom_async(struct client *c, const char *id, uint64_t seen,
			  void (*done)(int code, uint64_t kills, bool ended, void *userdata),
			  void *userdata, struct err *err)
{
	Onggi__Sandbox__V1__WaitOomRequest req = ONGGI__SANDBOX__V1__WAIT_OOM_REQUEST__INIT;
	struct oom_waiter *w = malloc(sizeof(*w));
	int r;

	if (!w)
		return err_set_errno(err, -ENOMEM, "events");
	*w = (struct oom_waiter){ done, userdata };
	req.id = (char *)(uintptr_t)id;
	req.seen = seen;
	r = ttrpc_client_call(c->ttrpc, CLIENT_SANDBOX_SERVICE, "WaitOom", &req.base,
			      &onggi__sandbox__v1__wait_oom_response__descriptor, 0, on_oom, w);
	if (r < 0) {
		free(w);
		return err_set_errno(err, r, "events of '%s'", id);
	}
	return 0;
}
