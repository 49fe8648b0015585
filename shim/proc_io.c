/* SPDX-License-Identifier: Apache-2.0 */
/* How the bytes of a process travel: the relay's operations as calls to the agent. */
#include "shim/proc_internal.h"

#include <string.h>

static void read_answered(enum ttrpc_code code, const char *message, const void *response,
			  void *userdata)
{
	const Onggi__Agent__V1__ReadOutputResponse *answer = response;
	struct proc_call *call = userdata;
	struct proc *p = call->p;
	int r;

	if (code == TTRPC_OK)
		r = relay_output(p->io, call->stream, answer->data.data, answer->data.len,
				 answer->eof);
	else if (agent_code_is_loss(code))
		r = 0; /* proc_lost follows, which has something to add */
	else
		r = relay_output(p->io, call->stream, NULL, 0, true);
	if (r == -EPROTO)
		sandbox_give_up(proc_sandbox(p), "the agent sent output that was not asked for");
	else if (r < 0)
		sandbox_give_up(proc_sandbox(p), "output of the guest: %s", strerror(-r));
	proc_call_free(call);
}

static uint32_t agent_stream(enum relay_stream stream)
{
	return stream == RELAY_STDERR ? 2 : 1;
}

static void agent_read(enum relay_stream stream, uint32_t max, void *userdata)
{
	Onggi__Agent__V1__ReadOutputRequest request = ONGGI__AGENT__V1__READ_OUTPUT_REQUEST__INIT;
	struct proc *p = userdata;
	struct proc_call *call = proc_call_create(p, NULL, NULL);

	if (!call) {
		relay_output(p->io, stream, NULL, 0, true);
		return;
	}
	call->stream = stream;
	request.container_id = p->container->record->id;
	request.exec_id = p->exec_id;
	request.stream = agent_stream(stream);
	request.max_bytes = max;
	agent_call(proc_sandbox(p), "ReadOutput", &request.base,
		   &onggi__agent__v1__read_output_response__descriptor, 0, read_answered, call);
}

static void write_answered(enum ttrpc_code code, const char *message, const void *response,
			   void *userdata)
{
	const Onggi__Agent__V1__WriteInputResponse *answer = response;
	struct proc_call *call = userdata;

	if (relay_input_taken(call->p->io, code == TTRPC_OK ? answer->written : 0,
			      code != TTRPC_OK) < 0)
		sandbox_give_up(proc_sandbox(call->p), "the agent took input that it was not given");
	proc_call_free(call);
}

static void agent_write(const void *data, size_t len, void *userdata)
{
	Onggi__Agent__V1__WriteInputRequest request = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	struct proc *p = userdata;
	struct proc_call *call = proc_call_create(p, NULL, NULL);

	if (!call) {
		relay_input_taken(p->io, 0, true);
		return;
	}
	request.container_id = p->container->record->id;
	request.exec_id = p->exec_id;
	request.data = (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)data, .len = len };
	agent_call(proc_sandbox(p), "WriteInput", &request.base,
		   &onggi__agent__v1__write_input_response__descriptor, 0, write_answered, call);
}

static void nothing_to_do(enum ttrpc_code code, const char *message, const void *response,
			  void *userdata)
{
}

static void agent_close_input(void *userdata)
{
	struct proc *p = userdata;
	Onggi__Agent__V1__ProcessRef ref = proc_agent_ref(p);

	agent_call(proc_sandbox(p), "CloseInput", &ref.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_QUERY_TIMEOUT_MS, nothing_to_do, NULL);
}

static void agent_close_output(enum relay_stream stream, void *userdata)
{
	Onggi__Agent__V1__CloseOutputRequest request = ONGGI__AGENT__V1__CLOSE_OUTPUT_REQUEST__INIT;
	struct proc *p = userdata;

	request.container_id = p->container->record->id;
	request.exec_id = p->exec_id;
	request.stream = agent_stream(stream);
	agent_call(proc_sandbox(p), "CloseOutput", &request.base,
		   &onggi__agent__v1__empty__descriptor, AGENT_QUERY_TIMEOUT_MS, nothing_to_do,
		   NULL);
}

static void relay_is_drained(void *userdata)
{
	struct proc *p = userdata;

	/* From within proc_end_now or proc_advance, which go on themselves, or from the loop. */
	proc_ref(p);
	proc_advance(p);
	proc_unref(p);
}

const struct relay_ops proc_relay_ops = {
	.read = agent_read,
	.write = agent_write,
	.close_input = agent_close_input,
	.close_output = agent_close_output,
	.drained = relay_is_drained,
};
