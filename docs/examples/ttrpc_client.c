/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc_client SOCKET ID: asks a containerd shim, whichever it is, for its pid and the task's. See docs/ttrpc.md. */
#include "common/proto/task.pb-c.h"
#include "common/ttrpc.h"

int main(int argc, char **argv)
{
	Containerd__Task__V2__ConnectRequest request = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;
	Containerd__Task__V2__ConnectResponse *answer = NULL;
	_cleanup_(loop_destroy_p) struct loop *loop = NULL;
	_cleanup_(ttrpc_client_destroy_p) struct ttrpc_client *client = NULL;
	struct err err = ERR_INIT;
	int fd;

	request.id = argc == 3 ? argv[2] : (char *)"";
	if (loop_create(&loop) < 0 || ttrpc_connect_unix(argc == 3 ? argv[1] : "", &fd, &err) < 0 ||
	    ttrpc_client_create(loop, fd, NULL, NULL, &client) < 0 ||
	    ttrpc_client_call_wait(client, loop, "containerd.task.v2.Task", "Connect", &request.base,
				   &containerd__task__v2__connect_response__descriptor, 5000, &answer, &err) < 0)
		return fprintf(stderr, "ttrpc_client: %s\n", err.text), 1;
	printf("shim %u task %u version '%s'\n", answer->shim_pid, answer->task_pid, answer->version);
	protobuf_c_message_free_unpacked(&answer->base, NULL);
	return 0;
}
