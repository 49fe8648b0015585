/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/launch.h"

#include <fcntl.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "common/oci.h"
#include "shim/runtime/container.h"
#include "shim/runtime/hooks.h"

int launch_check_console(bool terminal, bool detached, const char *console_socket, struct err *err)
{
	if (terminal && detached && !console_socket)
		return err_set(err, -EINVAL,
			       "cannot allocate tty if " RUNTIME_NAME
			       " will detach without setting console socket");
	if (console_socket && !(terminal && detached))
		return err_set(err, -EINVAL,
			       "cannot use console socket if " RUNTIME_NAME
			       " will not detach or allocate tty");
	return 0;
}

static int check_options(const struct launch_options *options, struct err *err)
{
	if (options->preserve_fds)
		return err_set(
			err, -EOPNOTSUPP,
			"option --preserve-fds=%u: descriptors cannot be handed into a microVM",
			options->preserve_fds);
	if (options->pidfd_socket)
		return err_set(err, -EOPNOTSUPP, "option --pidfd-socket is not supported yet");
	if (getenv("LISTEN_FDS"))
		log_debug("LISTEN_FDS is ignored: sockets cannot be handed into a microVM");
	return 0;
}

static int load_spec(struct launch *l, const char *bundle, struct oci_spec **ret, struct err *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;
	int r;

	l->bundle = realpath(bundle ? bundle : ".", NULL);
	if (!l->bundle)
		return err_set_errno(err, -errno, "bundle '%s'", bundle ? bundle : ".");
	if (asprintf(&path, "%s/config.json", l->bundle) < 0)
		return err_set_errno(err, -ENOMEM, "bundle");
	r = io_read_file(AT_FDCWD, path, OCI_SPEC_BYTES_MAX, &text, &len);
	if (r == -ENOENT)
		return err_set(err, r, "JSON specification file config.json not found in '%s'",
			       l->bundle);
	if (r < 0)
		return err_set_errno(err, r, "read '%s'", path);
	r = oci_spec_parse(text, len, ret, err);
	if (r < 0)
		return err_prefix(err, "%s", path), r;
	if (!(*ret)->has_process)
		return err_set(err, -EINVAL, "%s: process property must not be empty", path);
	l->create_hooks = (*ret)->n_hooks[OCI_HOOK_PRESTART] +
				  (*ret)->n_hooks[OCI_HOOK_CREATE_RUNTIME] >
			  0;
	return hooks_check(*ret, err);
}

static int fill_proxy(struct launch *l, const struct launch_options *options,
		      const struct oci_spec *spec, bool detached, uint32_t boot_timeout_ms,
		      struct err *err)
{
	if (container_io_dir(l->state_root, l->id, &l->io_dir) < 0)
		return err_set_errno(err, -ENOMEM, "container");
	l->proxy = (struct proxy_config){
		.socket = l->join.socket,
		.id = l->id,
		.io_dir = l->io_dir,
		.bundle = l->bundle,
		.create_timeout_ms = (uint64_t)boot_timeout_ms + CLIENT_CREATE_MARGIN_MS,
		.terminal = spec->process.terminal,
		.foreground = !detached,
		.console_socket = options->console_socket,
		.size = { .columns = spec->process.console_columns,
			  .rows = spec->process.console_rows },
		.netns_fd = l->join.netns_fd,
	};
	return 0;
}

static int find_sandbox(struct launch *l, const struct runtime *rt,
			const struct launch_options *options, const struct oci_spec *spec,
			bool detached, struct err *err)
{
	_cleanup_(config_free_p) struct config *config = NULL;
	int r;

	r = config_load(rt->config_path, &config, err);
	if (r == 0)
		r = config_check_guest(config, err);
	if (r < 0)
		return r;
	config->debug |= rt->debug;
	r = sandbox_find_or_launch(l->state_root, l->id, spec, config, &l->join, err);
	if (r < 0)
		return r;
	return fill_proxy(l, options, spec, detached, config->boot_timeout_ms, err);
}

static struct launch *launch_new(const char *state_root, const char *id)
{
	struct launch *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->rootfd = l->folder_fd = l->join.netns_fd = l->join.life_fd = -EBADF;
	l->state_root = strdup(state_root);
	l->id = strdup(id);
	if (!l->state_root || !l->id) {
		launch_finish(l);
		return NULL;
	}
	return l;
}

int launch_prepare(const struct runtime *rt, const struct launch_options *options, const char *id,
		   bool detached, struct launch **ret, struct err *err)
{
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	_cleanup_(launch_finish_p) struct launch *l = launch_new(rt->state_root, id);
	int r;

	if (!l)
		return err_set_errno(err, -ENOMEM, "container");
	r = container_check_id(id, err);
	if (r == 0)
		r = check_options(options, err);
	if (r == 0)
		r = load_spec(l, options->bundle, &spec, err);
	if (r == 0)
		r = launch_check_console(spec->process.terminal, detached, options->console_socket,
					 err);
	if (r == 0)
		r = state_open_root(rt->state_root, &l->rootfd, err);
	if (r == 0)
		r = container_reserve(rt->state_root, l->rootfd, id, &l->folder_fd, err);
	if (r < 0)
		return r;
	r = find_sandbox(l, rt, options, spec, detached, err);
	if (r < 0) {
		launch_undo(rt, l);
		return r;
	}
	*ret = TAKE_PTR(l);
	return 0;
}

bool launch_delete(const struct runtime *rt, const struct launch *l)
{
	_cleanup_(container_close_p) struct container *c = NULL;

	return container_open(rt, l->id, &c, NULL) == 0 && container_delete(c, NULL) == 0;
}

void launch_undo(const struct runtime *rt, struct launch *l)
{
	if (launch_delete(rt, l))
		return;
	/* A monitor that was started for it ends when it hears that nothing will be created. */
	cleanup_close_p(&l->join.life_fd);
	if (l->join.id)
		container_settle_sandbox(l->state_root, l->rootfd, l->join.id, l->id);
	container_unreserve(l->rootfd, l->id);
}

void launch_finish(struct launch *l)
{
	if (!l)
		return;
	sandbox_join_finish(&l->join);
	if (l->rootfd >= 0)
		close(l->rootfd);
	if (l->folder_fd >= 0)
		close(l->folder_fd);
	free(l->state_root);
	free(l->id);
	free(l->bundle);
	free(l->io_dir);
	free(l);
}
