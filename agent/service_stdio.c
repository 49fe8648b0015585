/* SPDX-License-Identifier: Apache-2.0 */
/* The methods about a process's input and output. */
#include "agent/service_internal.h"

#include "agent/stdio.h"
#include "common/proto/agent.pb-c.h"

/* Columns and rows of a terminal. */
#define TERMINAL_MAX 65535u

static void on_read(const void *data, size_t len, bool eof, void *userdata)
{
	Onggi__Agent__V1__ReadOutputResponse response = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;

	response.data.data = (uint8_t *)data;
	response.data.len = len;
	response.eof = eof;
	ttrpc_call_reply(userdata, &response.base);
}

static int check_stream(uint32_t stream, struct err *err)
{
	if (stream != STDIO_OUT && stream != STDIO_ERR)
		return err_set(err, -EINVAL, "field 'stream': %u is neither 1 nor 2", stream);
	return 0;
}

int service_read_output(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__ReadOutputRequest *request = message;
	int rc = check_stream(request->stream, err);

	if (rc < 0)
		return rc;
	rc = stdio_read(c->stdio, (enum stdio_stream)request->stream, request->max_bytes,
			on_read, c->call);
	if (rc < 0)
		return err_set_errno(err, rc, "read stream %u, at most %u bytes", request->stream,
				     request->max_bytes);
	return SERVICE_ANSWERED;
}

static void on_written(int code, size_t written, void *userdata)
{
	Onggi__Agent__V1__WriteInputResponse response = ONGGI__AGENT__V1__WRITE_INPUT_RESPONSE__INIT;
	struct err err = ERR_INIT;

	if (code < 0) {
		err_set_errno(&err, code, "write to the process");
		/* Whatever a terminal or pipe says: nobody takes input there any more. */
		service_answer_failure(userdata, -EPIPE, &err);
		return;
	}
	response.written = (uint32_t)written;
	ttrpc_call_reply(userdata, &response.base);
}

int service_write_input(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__WriteInputRequest *request = message;
	int rc = stdio_write(c->stdio, request->data.data, request->data.len, on_written,
			     c->call);

	if (rc < 0)
		return err_set_errno(err, rc, "write %zu bytes to the process", request->data.len);
	return SERVICE_ANSWERED;
}

int service_close_input(const struct service_call *c, const void *message, struct err *err)
{
	(void)message;
	(void)err;
	stdio_close_input(c->stdio);
	return 0;
}

int service_close_output(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__CloseOutputRequest *request = message;
	int rc = check_stream(request->stream, err);

	if (rc >= 0)
		stdio_close_output(c->stdio, (enum stdio_stream)request->stream);
	return rc;
}

int service_resize_terminal(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__ResizeTerminalRequest *request = message;
	int rc;

	if (request->columns > TERMINAL_MAX || request->rows > TERMINAL_MAX)
		return err_set(err, -EINVAL, "fields 'columns' and 'rows': %u x %u is over %u",
			       request->columns, request->rows, TERMINAL_MAX);
	rc = stdio_resize(c->stdio, (uint16_t)request->columns, (uint16_t)request->rows);
	return rc < 0 ? err_set_errno(err, rc, "set the size of the terminal") : 0;
}

int service_open_connection(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__OpenConnectionRequest *request = message;

	if (request->port == 0 || request->port > UINT16_MAX)
		return err_set(err, -EINVAL, "field 'port': %u is not from 1 to 65535", request->port);
	return connections_open(c->service->connections, request->id, (uint16_t)request->port, err);
}

int service_close_connection(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__ConnectionRef *request = message;

	(void)err;
	connections_close(c->service->connections, request->id);
	return 0;
}
