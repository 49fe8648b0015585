/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/containerd/bootstrap.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/proto/shim.pb-c.h"
#include "common/ttrpc_wire.h"

static void *unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len)
{
	return wire_unpack(type, data, len);
}

static void unpacked_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

/* With or without a prefix before the name. */
static bool is_type(const Containerd__Task__V2__Any *any, const char *type)
{
	const char *last = strrchr(any->type_url, '/');

	return !strcmp(last ? last + 1 : any->type_url, type);
}

static int take_runc(const Containerd__Task__V2__Any *any, struct bootstrap *b)
{
	Containerd__Shim__RuncOptions *o =
		unpack(&containerd__shim__runc_options__descriptor, any->value.data, any->value.len);

	if (!o)
		return -EBADMSG;
	b->systemd_cgroup = o->systemd_cgroup;
	unpacked_free(o);
	return 0;
}

static int take_runtime(const Containerd__Task__V2__Any *any, struct bootstrap *b)
{
	Containerd__Shim__RuntimeOptions *o =
		unpack(&containerd__shim__runtime_options__descriptor, any->value.data, any->value.len);
	int r = 0;

	if (!o)
		return -EBADMSG;
	if (o->config_path[0]) {
		free(b->config_path);
		b->config_path = strdup(o->config_path);
		r = b->config_path ? 0 : -ENOMEM;
	}
	unpacked_free(o);
	return r;
}

static const struct option_type {
	const char *type;
	int (*take)(const Containerd__Task__V2__Any *any, struct bootstrap *b);
} option_types[] = {
	{ "containerd.runc.v1.Options", take_runc },
	{ "runtimeoptions.v1.Options", take_runtime },
	{ "cri.runtimeoptions.v1.Options", take_runtime },
};

static int take_any(const Containerd__Task__V2__Any *any, struct bootstrap *b, struct err *err)
{
	for (size_t i = 0; any && i < ARRAY_SIZE(option_types); i++) {
		int r = is_type(any, option_types[i].type) ? option_types[i].take(any, b) : 0;

		if (r < 0)
			return err_set_errno(err, r, "runtime options '%s'", any->type_url);
	}
	return 0;
}

static int take_params(const Containerd__Shim__BootstrapParams *params, struct bootstrap *b, struct err *err)
{
	for (size_t i = 0; i < params->n_extensions; i++) {
		int r = take_any(params->extensions[i]->value, b, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int bootstrap_parse(const void *data, size_t len, const char *id, const char *namespace,
		    struct bootstrap *ret, struct err *err)
{
	Containerd__Shim__BootstrapParams *params = NULL;
	Containerd__Task__V2__Any *any = NULL;
	struct bootstrap b = { 0 };
	int r;

	params = unpack(&containerd__shim__bootstrap_params__descriptor, data, len);
	if (params && !strcmp(params->instance_id, id) && !strcmp(params->namespace_, namespace)) {
		r = take_params(params, &b, err);
	} else {
		any = unpack(&containerd__task__v2__any__descriptor, data, len);
		r = any ? take_any(any, &b, err) :
			  err_set(err, -EBADMSG, "what containerd writes to stdin is not understood");
	}
	unpacked_free(params);
	unpacked_free(any);
	if (r < 0)
		bootstrap_finish(&b);
	else
		*ret = b;
	return r;
}

void bootstrap_finish(struct bootstrap *b)
{
	free(b->config_path);
	b->config_path = NULL;
}
