/* SPDX-License-Identifier: Apache-2.0 */
/* Every message between engines, our command line and the monitor, the shim's on stdin and stdout, and ttrpc's own. */
#include "tests/fuzz/messages.h"

#include "common/proto/task.pb-c.h"
#include "common/proto/events.pb-c.h"
#include "common/proto/sandbox.pb-c.h"
#include "common/proto/shim.pb-c.h"
#include "common/proto/ttrpc.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
	&containerd__task__v2__empty__descriptor,
	&containerd__task__v2__any__descriptor,
	&containerd__task__v2__timestamp__descriptor,
	&containerd__task__v2__mount__descriptor,
	&containerd__task__v2__state_request__descriptor,
	&containerd__task__v2__state_response__descriptor,
	&containerd__task__v2__create_task_request__descriptor,
	&containerd__task__v2__create_task_response__descriptor,
	&containerd__task__v2__start_request__descriptor,
	&containerd__task__v2__start_response__descriptor,
	&containerd__task__v2__delete_request__descriptor,
	&containerd__task__v2__delete_response__descriptor,
	&containerd__task__v2__pids_request__descriptor,
	&containerd__task__v2__process_info__descriptor,
	&containerd__task__v2__pids_response__descriptor,
	&containerd__task__v2__pause_request__descriptor,
	&containerd__task__v2__resume_request__descriptor,
	&containerd__task__v2__checkpoint_task_request__descriptor,
	&containerd__task__v2__kill_request__descriptor,
	&containerd__task__v2__exec_process_request__descriptor,
	&containerd__task__v2__resize_pty_request__descriptor,
	&containerd__task__v2__close_iorequest__descriptor,
	&containerd__task__v2__annotations_entry__descriptor,
	&containerd__task__v2__update_task_request__descriptor,
	&containerd__task__v2__wait_request__descriptor,
	&containerd__task__v2__wait_response__descriptor,
	&containerd__task__v2__stats_request__descriptor,
	&containerd__task__v2__stats_response__descriptor,
	&containerd__task__v2__connect_request__descriptor,
	&containerd__task__v2__connect_response__descriptor,
	&containerd__task__v2__shutdown_request__descriptor,
	&onggi__sandbox__v1__empty__descriptor,
	&onggi__sandbox__v1__attach_request__descriptor,
	&onggi__sandbox__v1__info_response__descriptor,
	&onggi__sandbox__v1__processes_request__descriptor,
	&onggi__sandbox__v1__process__descriptor,
	&onggi__sandbox__v1__processes_response__descriptor,
	&onggi__ttrpc__key_value__descriptor,
	&onggi__ttrpc__request__descriptor,
	&onggi__ttrpc__status__descriptor,
	&onggi__ttrpc__response__descriptor,
	&containerd__shim__extension__descriptor,
	&containerd__shim__bootstrap_params__descriptor,
	&containerd__shim__runc_options__descriptor,
	&containerd__shim__runtime_options__descriptor,
	&containerd__shim__runtime_info__descriptor,
	&containerd__events__forward_request__descriptor,
	&onggi__sandbox__v1__run_hooks_request__descriptor,
	&onggi__sandbox__v1__wait_oom_request__descriptor,
	&onggi__sandbox__v1__wait_oom_response__descriptor,
	&onggi__sandbox__v1__wait_resumed_request__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	messages_check(types, ARRAY_SIZE(types), data, size);
	return 0;
}
