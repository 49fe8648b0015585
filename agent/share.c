/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "agent/setup.h"
#include "agent/uevent.h"

struct share {
	struct loop *loop;
	char tag[SHARE_TAG_MAX + 1];
	bool mounted;
	/* waiting for the device */
	int uevents;
	struct loop_source *source, *timer;
	share_done_fn done;
	void *userdata;
};

int share_create(struct loop *loop, struct share **ret)
{
	struct share *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->uevents = -EBADF;
	*ret = s;
	return 0;
}

static void share_stop_waiting(struct share *s)
{
	loop_source_destroy(s->source);
	loop_source_destroy(s->timer);
	s->source = s->timer = NULL;
	cleanup_close_p(&s->uevents);
}

static void share_answer(struct share *s, int code, const struct err *err)
{
	share_done_fn done = s->done;

	share_stop_waiting(s);
	s->done = NULL;
	if (done)
		done(code, err, s->userdata);
}

void share_destroy(struct share *s)
{
	struct err err = ERR_INIT;

	if (!s)
		return;
	err_set(&err, -ECANCELED, "the agent is ending");
	share_answer(s, -ECANCELED, &err);
	free(s);
}

/*
 * Returns -EAGAIN while there is no device of that tag. The mount itself does not wait for the file
 * server.
 */
static int share_try(struct share *s, struct err *err)
{
	if (mount(s->tag, SETUP_SHARE_PATH, "virtiofs", 0, NULL) == 0) {
		s->mounted = true;
		return 0;
	}
	if (errno == EINVAL)
		return -EAGAIN;
	return err_set_errno(err, -errno, "mount virtiofs '%s'", s->tag);
}

static void share_attempt(struct share *s)
{
	struct err err = ERR_INIT;
	int rc = share_try(s, &err);

	if (rc != -EAGAIN)
		share_answer(s, rc, &err);
}

static void share_on_uevent(int fd, unsigned int events, void *userdata)
{
	(void)events;
	uevent_drain(fd);
	share_attempt(userdata);
}

static void share_on_timeout(void *userdata)
{
	struct share *s = userdata;
	struct err err = ERR_INIT;

	err_set(&err, -ENODEV, "no virtiofs device '%s' within %u s", s->tag, SHARE_WAIT_MS / 1000);
	share_answer(s, -ENODEV, &err);
}

/* Listen first, then look: a device that comes in between is not missed. */
static int share_wait(struct share *s, struct err *err)
{
	int rc = uevent_open(err);

	if (rc >= 0) {
		s->uevents = rc;
		rc = loop_add_fd(s->loop, s->uevents, LOOP_READ, share_on_uevent, s, &s->source);
		if (rc >= 0)
			rc = loop_add_timer(s->loop, SHARE_WAIT_MS, share_on_timeout, s, &s->timer);
		if (rc < 0)
			err_set_errno(err, rc, "wait for the share '%s'", s->tag);
	}
	if (rc < 0) {
		share_stop_waiting(s);
		s->done = NULL;
		return rc;
	}
	share_attempt(s);
	return 0;
}

static bool share_tag_valid(const char *tag)
{
	size_t len = strlen(tag);

	return len && len <= SHARE_TAG_MAX &&
	       strspn(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}

int share_mount(struct share *s, const char *tag, share_done_fn done, void *userdata, struct err *err)
{
	if (!share_tag_valid(tag))
		return err_set(err, -EINVAL, "field 'share_tag': not 1 to %u bytes of [A-Za-z0-9_.-]",
			       SHARE_TAG_MAX);
	if (s->done)
		return err_set(err, -EBUSY, "the share '%s' is being mounted", s->tag);
	if (s->mounted && strcmp(s->tag, tag) != 0)
		return err_set(err, -EBUSY, "the share '%s' is mounted already", s->tag);
	if (s->mounted) {
		done(0, NULL, userdata);
		return 0;
	}
	memcpy(s->tag, tag, strlen(tag) + 1);
	s->done = done;
	s->userdata = userdata;
	/* It is there already, as a rule. */
	share_attempt(s);
	return s->done ? share_wait(s, err) : 0;
}
