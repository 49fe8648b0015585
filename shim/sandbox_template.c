/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sandbox_template.h"

#include <string.h>

#include "shim/template_make.h"

/*
 * Larger guests boot, and leave no template. How large one is its container's limit says, that is a tenant:
 * the kernel's table of its pages alone is a 64th of it, in each of the templates that are kept.
 */
#define TEMPLATE_GUEST_MIB_MAX 4096u

static bool enabled(const struct sandbox *s)
{
	const char *word = s->options.config->template;

	return word && strcmp(word, "on") == 0;
}

static struct template *find(struct sandbox *s, const char *description, struct err *err)
{
	_cleanup_close_ int store = -EBADF;
	char name[TEMPLATE_NAME_BYTES];
	struct template *t = NULL;
	int r = template_store_open(s->options.config->template_dir, false, &store, err);

	if (r == 0)
		r = template_open(store, description, &t, err);
	s->wants_template = r == -ENOENT || r == -EBADMSG;
	if (r == -EBADMSG) {
		template_name(description, name);
		template_remove(store, name);
	}
	if (r < 0 && r != -ENOENT)
		sandbox_log(s, LOG_LEVEL_WARNING, "boot without a template: %s", err->text);
	return t;
}

struct template *sandbox_template_find(struct sandbox *s, const struct vm_config *machine)
{
	_cleanup_free_ char *description = NULL;
	struct err err = ERR_INIT;
	struct template *t;
	int r;

	s->wants_template = false;
	if (!enabled(s) || s->restore_failed || machine->memory_mib > TEMPLATE_GUEST_MIB_MAX)
		return NULL;
	r = vm_describe(s->options.driver, machine, &description, &err);
	if (r < 0) {
		if (r != -EOPNOTSUPP)
			sandbox_log(s, LOG_LEVEL_WARNING, "boot without a template: %s", err.text);
		return NULL;
	}
	t = find(s, description, &err);
	if (!t)
		return NULL;
	/* An old one does its work until the new one is there. */
	s->wants_template = template_is_old(t, s->options.config->template_clones,
					    s->options.config->template_hours);
	template_count_clone(t);
	return t;
}

void sandbox_template_make(struct sandbox *s)
{
	int r;

	if (!s->wants_template)
		return;
	s->wants_template = false;
	r = template_maker_launch(s->options.config, s->accel, s->machine.boot.vcpus,
				  s->machine.boot.memory_mib);
	if (r < 0)
		sandbox_log(s, LOG_LEVEL_WARNING, "the template maker was not started: %s",
			    strerror(-r));
}

void sandbox_template_failed(struct sandbox *s)
{
	_cleanup_close_ int store = -EBADF;
	struct err err = ERR_INIT;

	s->restore_failed = true;
	if (template_store_open(s->options.config->template_dir, false, &store, &err) == 0)
		template_remove(store, s->template_name);
}
