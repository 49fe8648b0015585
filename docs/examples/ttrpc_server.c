/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc_server SOCKET: answers Connect as a containerd shim does, until it is killed. See docs/ttrpc.md. */
#include "common/proto/task.pb-c.h"
#include "common/ttrpc.h"

static void on_connect(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__ConnectRequest *request = message;
	Containerd__Task__V2__ConnectResponse answer = CONTAINERD__TASK__V2__CONNECT_RESPONSE__INIT;

	if (!request->id[0]) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "no id is given");
		return;
	}
	answer.shim_pid = (uint32_t)getpid();
	answer.version = userdata;
	ttrpc_call_reply(call, &answer.base);
}

static const struct ttrpc_method methods[] = {
	{ "Connect", &containerd__task__v2__connect_request__descriptor,
	  &containerd__task__v2__connect_response__descriptor, on_connect },
};

int main(int argc, char **argv)
{
	const struct ttrpc_service service = { "containerd.task.v2.Task", methods, ARRAY_SIZE(methods), (char *)"example" };
	struct ttrpc_server *server;
	struct err err = ERR_INIT;
	struct loop *loop;
	int fd;

	if (loop_create(&loop) < 0 || ttrpc_listen_unix(argc == 2 ? argv[1] : "", &fd, &err) < 0 ||
	    ttrpc_server_create(loop, &service, 1, &server) < 0 || ttrpc_server_listen(server, fd) < 0)
		return fprintf(stderr, "ttrpc_server: %s\n", err.text), 1;
	return loop_run(loop) < 0;
}
