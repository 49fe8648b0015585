/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/qemu_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FD_NAME "state"
#define MESSAGE_BYTES 256

struct step {
	const char *command;
	struct json *(*arguments)(void); /* NULL: none */
	bool with_fd;
	bool until_done; /* goes on when the MIGRATION event says "completed" */
};

struct qemu_saved {
	struct qmp *qmp;
	struct loop *loop;
	const struct step *step;
	int fd;
	struct loop_source *timer; /* of a step that waits for an event */
	bool answered, completed;  /* of such a step: both are wanted, in either order */
	bool ended;
	vm_done_fn done;
	void *userdata;
};

/* ---- arguments ---- */

/* {"capabilities": [{"capability": …, "state": true}, …]} */
static struct json *args_capabilities(void)
{
	static const char *const names[] = { "x-ignore-shared", "events" };
	_cleanup_json_ struct json *j = json_new_object(), *list = json_new_array();

	if (!j || !list)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_json_ struct json *one = json_new_object();

		if (!one || json_set(one, "capability", json_new_string(names[i])) < 0 ||
		    json_set(one, "state", json_new_bool(true)) < 0 ||
		    json_append(list, TAKE_PTR(one)) < 0)
			return NULL;
	}
	return json_set(j, "capabilities", TAKE_PTR(list)) < 0 ? NULL : TAKE_PTR(j);
}

static struct json *one_string(const char *key, const char *value)
{
	_cleanup_json_ struct json *j = json_new_object();

	return !j || json_set(j, key, json_new_string(value)) < 0 ? NULL : TAKE_PTR(j);
}

static struct json *args_fdname(void)
{
	return one_string("fdname", FD_NAME);
}

static struct json *args_uri(void)
{
	return one_string("uri", "fd:" FD_NAME);
}

static const struct step write_steps[] = {
	{ "stop", NULL, false, false },
	{ "migrate-set-capabilities", args_capabilities, false, false },
	{ "getfd", args_fdname, true, false },
	{ "migrate", args_uri, false, true },
	{ NULL, NULL, false, false },
};

static const struct step read_steps[] = {
	{ "migrate-set-capabilities", args_capabilities, false, false },
	{ "getfd", args_fdname, true, false },
	{ "migrate-incoming", args_uri, false, true },
	{ NULL, NULL, false, false },
};

/* ---- walking them ---- */

static void run_step(struct qemu_saved *s);

/* @done may destroy us. */
static void finish(struct qemu_saved *s, int code, const char *message)
{
	if (s->ended)
		return;
	s->ended = true;
	loop_source_destroy(TAKE_PTR(s->timer));
	/* A template that is removed meanwhile is to be gone. */
	cleanup_close_p(&s->fd);
	s->done(code, message, s->userdata);
}

static void next_step(struct qemu_saved *s)
{
	loop_source_destroy(TAKE_PTR(s->timer));
	s->step++;
	if (s->step->command)
		run_step(s);
	else
		finish(s, 0, "");
}

static void on_late(void *userdata)
{
	struct qemu_saved *s = userdata;
	char message[MESSAGE_BYTES];

	snprintf(message, sizeof(message), "QEMU: '%s' has not ended after %u ms", s->step->command,
		 QEMU_SAVED_STEP_MS);
	finish(s, -ETIMEDOUT, message);
}

static void on_answer(int code, const char *message, const struct json *answer, void *userdata)
{
	struct qemu_saved *s = userdata;
	char text[MESSAGE_BYTES];

	if (s->ended)
		return;
	if (code < 0) {
		snprintf(text, sizeof(text), "QEMU: '%s': %s", s->step->command, message);
		finish(s, code, text);
		return;
	}
	s->answered = true;
	if (!s->step->until_done || s->completed)
		next_step(s);
}

static void run_step(struct qemu_saved *s)
{
	_cleanup_json_ struct json *arguments = s->step->arguments ? s->step->arguments() : NULL;
	int r = 0;

	s->answered = s->completed = false;
	if (s->step->arguments && !arguments)
		r = -ENOMEM;
	if (r == 0 && s->step->until_done)
		r = loop_add_timer(s->loop, QEMU_SAVED_STEP_MS, on_late, s, &s->timer);
	if (r == 0)
		r = qmp_execute(s->qmp, s->step->command, TAKE_PTR(arguments),
				s->step->with_fd ? s->fd : -1, QEMU_SAVED_STEP_MS, on_answer, s);
	if (r < 0)
		finish(s, r, strerror(-r));
}

void qemu_saved_on_event(struct qemu_saved *s, const char *event, const struct json *data)
{
	const char *status = NULL;

	if (!s || s->ended || !s->step->until_done || strcmp(event, "MIGRATION") != 0 ||
	    !json_is_object(data) || json_member_string(data, "data", "status", &status, NULL) != 1)
		return;
	if (strcmp(status, "failed") == 0) {
		finish(s, -EREMOTEIO, "QEMU: the state could not be transferred");
		return;
	}
	if (strcmp(status, "completed") != 0)
		return;
	s->completed = true;
	if (s->answered)
		next_step(s);
}

/* ---- life ---- */

static int begin(struct loop *loop, struct qmp *qmp, int fd, const struct step *steps,
		 vm_done_fn done, void *userdata, struct qemu_saved **ret)
{
	struct qemu_saved *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (struct qemu_saved){
		.qmp = qmp, .loop = loop, .step = steps, .done = done, .userdata = userdata
	};
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (s->fd < 0) {
		int r = -errno;

		free(s);
		return r;
	}
	*ret = s;
	run_step(s);
	return 0;
}

int qemu_saved_write(struct loop *loop, struct qmp *qmp, int fd, vm_done_fn done, void *userdata,
		     struct qemu_saved **ret)
{
	return begin(loop, qmp, fd, write_steps, done, userdata, ret);
}

int qemu_saved_read(struct loop *loop, struct qmp *qmp, int fd, vm_done_fn done, void *userdata,
		    struct qemu_saved **ret)
{
	return begin(loop, qmp, fd, read_steps, done, userdata, ret);
}

void qemu_saved_destroy(struct qemu_saved *s)
{
	if (!s)
		return;
	loop_source_destroy(s->timer);
	cleanup_close_p(&s->fd);
	free(s);
}
