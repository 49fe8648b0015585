/* SPDX-License-Identifier: Apache-2.0 */
/* Every message between monitor and agent. */
#include "tests/fuzz/messages.h"

#include "common/proto/agent.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
	&onggi__agent__v1__empty__descriptor,
	&onggi__agent__v1__configure_request__descriptor,
	&onggi__agent__v1__configure_response__descriptor,
	&onggi__agent__v1__container_ref__descriptor,
	&onggi__agent__v1__process_ref__descriptor,
	&onggi__agent__v1__shared_namespace__descriptor,
	&onggi__agent__v1__mount_source__descriptor,
	&onggi__agent__v1__create_container_request__descriptor,
	&onggi__agent__v1__create_container_response__descriptor,
	&onggi__agent__v1__start_process_response__descriptor,
	&onggi__agent__v1__add_process_request__descriptor,
	&onggi__agent__v1__signal_process_request__descriptor,
	&onggi__agent__v1__wait_process_response__descriptor,
	&onggi__agent__v1__read_output_request__descriptor,
	&onggi__agent__v1__read_output_response__descriptor,
	&onggi__agent__v1__write_input_request__descriptor,
	&onggi__agent__v1__write_input_response__descriptor,
	&onggi__agent__v1__resize_terminal_request__descriptor,
	&onggi__agent__v1__guest_process__descriptor,
	&onggi__agent__v1__list_processes_response__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	messages_check(types, ARRAY_SIZE(types), data, size);
	return 0;
}
