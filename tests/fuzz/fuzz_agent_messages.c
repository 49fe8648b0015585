/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message between monitor and agent. A request for the network is also checked as the agent
 * checks it: refused by name, or fit for the kernel.
 */
#include "tests/fuzz/messages.h"

#include <errno.h>

#include "agent/network.h"
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
	&onggi__agent__v1__close_output_request__descriptor,
	&onggi__agent__v1__ip_address__descriptor,
	&onggi__agent__v1__network_interface__descriptor,
	&onggi__agent__v1__network_route__descriptor,
	&onggi__agent__v1__network_neighbour__descriptor,
	&onggi__agent__v1__update_network_request__descriptor,
	&onggi__agent__v1__serve_names_request__descriptor,
	&onggi__agent__v1__next_query_response__descriptor,
	&onggi__agent__v1__answer_query_request__descriptor,
	&onggi__agent__v1__update_container_request__descriptor,
	&onggi__agent__v1__stat_container_response__descriptor,
	&onggi__agent__v1__io_stat__descriptor,
	&onggi__agent__v1__interface_stat__descriptor,
	&onggi__agent__v1__update_machine_request__descriptor,
	&onggi__agent__v1__update_machine_response__descriptor,
	&onggi__agent__v1__open_connection_request__descriptor,
	&onggi__agent__v1__connection_ref__descriptor,
};

static void check_network(const uint8_t *data, size_t size)
{
	Onggi__Agent__V1__UpdateNetworkRequest *request;
	struct err err = ERR_INIT;
	int rc;

	request = (Onggi__Agent__V1__UpdateNetworkRequest *)wire_unpack(
		&onggi__agent__v1__update_network_request__descriptor, data, size);
	if (!request)
		return;
	rc = network_check(request, &err);
	assert(rc == 0 || rc == -EINVAL || rc == -E2BIG);
	assert((rc == 0) == (err.text[0] == '\0'));
	for (size_t i = 0; rc == 0 && i < request->n_interfaces; i++) {
		assert(strlen(request->interfaces[i]->name) < 16 && !strchr(request->interfaces[i]->name, '/'));
		assert(request->interfaces[i]->mac.len == 6);
	}
	protobuf_c_message_free_unpacked(&request->base, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	messages_check(types, ARRAY_SIZE(types), data, size);
	if (size > 0 && types[data[0] % ARRAY_SIZE(types)] == &onggi__agent__v1__update_network_request__descriptor)
		check_network(data + 1, size - 1);
	return 0;
}
