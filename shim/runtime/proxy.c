/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/proxy_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "common/loop.h"
#include "common/trace.h"
#include "shim/runtime/client.h"
#include "shim/runtime/stdio_relay.h"

#define FIFO_PATH_MAX 512

struct proxy {
	const struct proxy_config *config;
	struct client *client;
	struct client_process process;
	struct stdio_relay *relay;
	struct loop_source *signals, *parent;
	int signal_fd;
	char fifos[STDIO_RELAY_STREAMS][FIFO_PATH_MAX]; /* "": none */
	int fifo_fds[STDIO_RELAY_STREAMS];
	int input_holder; /* keeps the stdin FIFO readable until the monitor has opened it */
	int parent_fd;    /* pipe whose reader is the command that forked us; -EBADF: none */
	int console;      /* terminal whose size counts; -EBADF: none */
	struct console_raw raw;
	bool attached, connection_lost, ended, outputs_ended;
	uint32_t status;
	int wait_error; /* of the call that waits for the end */
	int interrupted; /* signal that came before there was a process; 0: none */
};

/* ---- signals ---- */

/*
 * All that can be caught. Children of ours do not exist; SIGWINCH is blocked with the rest and
 * means a new size of the terminal unless somebody sent it on purpose.
 */
static void forwarded_signals(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGCHLD);
	sigdelset(set, SIGPIPE);
	sigdelset(set, SIGURG);
}

void proxy_block_signals(void)
{
	sigset_t set;

	forwarded_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void proxy_interrupting_signals(sigset_t *ret)
{
	static const int all[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

	sigemptyset(ret);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		sigaddset(ret, all[i]);
}

static bool is_interrupting(int signo)
{
	sigset_t set;

	proxy_interrupting_signals(&set);
	return sigismember(&set, signo) == 1;
}

static void send_size(struct proxy *p)
{
	struct console_size size;

	if (p->console >= 0 && console_get_size(p->console, &size) == 0 && size.columns &&
	    size.rows)
		client_resize_async(p->client, p->process, size.columns, size.rows);
}

static void on_signal(int fd, unsigned int events, void *userdata)
{
	struct proxy *p = userdata;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH && (info.ssi_code > 0 || p->console >= 0)) {
		if (p->attached)
			send_size(p);
		return;
	}
	/* A background process that touches its terminal: ours, not the workload's. */
	if ((info.ssi_signo == SIGTTIN || info.ssi_signo == SIGTTOU) && info.ssi_code > 0)
		return;
	if (p->attached)
		client_kill_async(p->client, p->process, (int)info.ssi_signo);
	else if (is_interrupting((int)info.ssi_signo))
		p->interrupted = (int)info.ssi_signo;
}

/* The command that is to report our container has been killed. */
static void on_parent_gone(int fd, unsigned int events, void *userdata)
{
	struct proxy *p = userdata;

	loop_source_destroy(TAKE_PTR(p->parent));
	p->interrupted = SIGHUP;
}

static int watch_signals(struct proxy *p, struct err *err)
{
	sigset_t set;
	int r;

	proxy_block_signals();
	forwarded_signals(&set);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signal_fd < 0)
		return err_set_errno(err, -errno, "signals");
	r = loop_add_fd(client_loop(p->client), p->signal_fd, LOOP_READ, on_signal, p, &p->signals);
	return r < 0 ? err_set_errno(err, r, "signals") : 0;
}

/* ---- FIFOs ---- */

static const char *const stream_names[STDIO_RELAY_STREAMS] = { "stdin", "stdout", "stderr" };

static bool has_stream(const struct proxy_config *c, int stream)
{
	return stream != STDIO_RELAY_ERR || !c->terminal;
}

static int make_fifo(struct proxy *p, int stream, struct err *err)
{
	char *path = p->fifos[stream];
	int n;

	n = snprintf(path, FIFO_PATH_MAX, "%s/%s-%s", p->config->io_dir,
		     p->config->exec_id ? p->config->exec_id : "init", stream_names[stream]);
	if (n < 0 || n >= FIFO_PATH_MAX) {
		path[0] = '\0';
		return err_set(err, -ENAMETOOLONG, "FIFO path in '%s' is longer than %d bytes",
			       p->config->io_dir, FIFO_PATH_MAX);
	}
	if (mkfifo(path, 0600) < 0) {
		n = -errno;
		err_set_errno(err, n, "make FIFO '%s'", path);
		path[0] = '\0';
		return n;
	}
	/* A FIFO's writer cannot be opened before a reader. */
	p->fifo_fds[stream] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (p->fifo_fds[stream] >= 0 && stream == STDIO_RELAY_IN) {
		p->input_holder = p->fifo_fds[stream];
		p->fifo_fds[stream] = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	}
	return p->fifo_fds[stream] < 0 ? err_set_errno(err, -errno, "open FIFO '%s'", path) : 0;
}

static int make_fifos(struct proxy *p, struct err *err)
{
	if (mkdir(p->config->io_dir, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, -errno, "make folder '%s'", p->config->io_dir);
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++) {
		int r = has_stream(p->config, i) ? make_fifo(p, i, err) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

void proxy_forget_fifos(struct proxy *p)
{
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++)
		p->fifos[i][0] = '\0';
}

static void unlink_fifos(struct proxy *p)
{
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++) {
		if (p->fifos[i][0])
			unlink(p->fifos[i]);
	}
	proxy_forget_fifos(p);
}

/* ---- stdio ---- */

static void on_input_ended(void *userdata)
{
	struct proxy *p = userdata;

	client_close_input_async(p->client, p->process);
}

static void on_outputs_ended(void *userdata)
{
	struct proxy *p = userdata;

	p->outputs_ended = true;
}

static const struct stdio_relay_ops relay_ops = { on_input_ended, on_outputs_ended };

/*
 * A pty of our own: the engine gets the master, the slave takes the place of descriptors 0 and 1.
 */
static int open_console(struct proxy *p, struct err *err)
{
	_cleanup_close_ int master = -EBADF, slave = -EBADF;
	char name[CONSOLE_NAME_MAX];
	int r;

	r = console_open_pty(&p->config->size, &master, &slave, name, err);
	if (r < 0)
		return r;
	r = console_make_controlling(slave, err);
	if (r < 0)
		return r;
	r = console_send_master(p->config->console_socket, name, master, err);
	if (r < 0)
		return r;
	p->console = TAKE_FD(slave);
	return 0;
}

static int engine_fd(const struct proxy *p, int stream)
{
	bool own_console = p->console >= 0 && !p->config->foreground;

	return fcntl(own_console ? p->console : stream, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/*
 * The relay gets copies of stdio; the numbers 0, 1 and 2 must not keep a reader or writer of the
 * engine's alive.
 */
static int open_relay(struct proxy *p, struct err *err)
{
	int r = stdio_relay_create(client_loop(p->client), &relay_ops, p, &p->relay);

	for (int i = 0; i < STDIO_RELAY_STREAMS && r == 0; i++) {
		if (!has_stream(p->config, i))
			continue;
		r = stdio_relay_add(p->relay, i, engine_fd(p, i), TAKE_FD(p->fifo_fds[i]));
	}
	return r < 0 ? err_set_errno(err, r, "stdio") : 0;
}

/* ---- life ---- */

static void on_gone(void *userdata)
{
	struct proxy *p = userdata;

	p->connection_lost = true;
	if (p->relay)
		stdio_relay_writer_gone(p->relay);
}

static void on_ended(int error, uint32_t status, void *userdata)
{
	struct proxy *p = userdata;

	p->ended = true;
	p->wait_error = error;
	p->status = error == 0 ? status : PROXY_EXIT_LOST;
	/* The monitor knows no such process any more: nothing will close its FIFOs. */
	if (error != 0 && p->relay)
		stdio_relay_writer_gone(p->relay);
}

/* Have the monitor make the process. */
static int create_process(struct proxy *p, struct err *err)
{
	const struct proxy_config *c = p->config;
	struct client_stdio stdio = {
		.in = p->fifos[STDIO_RELAY_IN],
		.out = p->fifos[STDIO_RELAY_OUT],
		.err = p->fifos[STDIO_RELAY_ERR],
		.terminal = c->terminal,
	};
	int r;

	if (c->exec_id) {
		r = client_exec(p->client, p->process, c->process, &stdio, err);
		if (r == 0)
			r = client_attach(p->client, p->process, err);
	} else {
		r = client_create(p->client, p->process, c->bundle, &stdio, c->create_timeout_ms,
				  &p->interrupted, err);
	}
	trace_mark("process created");
	if (r < 0)
		return r;
	p->attached = true;
	return client_wait_async(p->client, p->process, on_ended, p, err);
}

/* Signals that came early: a person who wants it to stop. */
static int check_interrupted(const struct proxy *p, struct err *err)
{
	if (p->interrupted)
		return err_set(err, -EINTR, "interrupted by signal %d", p->interrupted);
	return 0;
}

static struct proxy *proxy_new(const struct proxy_config *config, int parent_fd)
{
	struct proxy *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = config;
	p->parent_fd = parent_fd;
	p->process = (struct client_process){ config->id, config->exec_id, config->foreground };
	p->signal_fd = p->input_holder = p->console = p->raw.fd = -EBADF;
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++)
		p->fifo_fds[i] = -EBADF;
	return p;
}

static int open_steps(struct proxy *p, struct err *err)
{
	const struct proxy_config *c = p->config;
	int r;

	r = client_connect(c->socket, c->id, on_gone, p, &p->client, err);
	if (r == -ENOENT || r == -ECONNREFUSED)
		p->connection_lost = true;
	if (r < 0)
		return r;
	r = watch_signals(p, err);
	if (r < 0)
		return r;
	if (p->parent_fd >= 0 && (r = loop_add_fd(client_loop(p->client), p->parent_fd, LOOP_READ,
						  on_parent_gone, p, &p->parent)) < 0)
		return err_set_errno(err, r, "pipe to the command");
	r = make_fifos(p, err);
	if (r < 0)
		return r;
	r = create_process(p, err);
	if (r < 0)
		return r;
	r = check_interrupted(p, err);
	if (r < 0)
		return r;
	if (c->terminal && !c->foreground)
		r = open_console(p, err);
	else if (c->terminal)
		r = console_raw_enter(&p->raw, err);
	if (r < 0)
		return r;
	if (c->terminal && c->foreground)
		p->console = fcntl(p->raw.fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return open_relay(p, err);
}

void proxy_abandon(struct proxy *p)
{
	struct err ignored = ERR_INIT;

	if (!p->attached)
		return;
	if (client_kill(p->client, p->process, SIGKILL, false, &ignored) == 0)
		client_wait(p->client, p->process, CLIENT_TIMEOUT_MS, NULL, &ignored);
	client_delete(p->client, p->process, &ignored);
}

int proxy_open_for(int parent_fd, const struct proxy_config *config, struct proxy **ret,
		   struct err *err)
{
	_cleanup_(proxy_close_p) struct proxy *p = proxy_new(config, parent_fd);
	_cleanup_close_ int own_netns = -EBADF;
	int r;

	if (!p)
		return err_set_errno(err, -ENOMEM, "proxy");
	own_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (config->netns_fd >= 0 &&
	    (own_netns < 0 || setns(config->netns_fd, CLONE_NEWNET) < 0))
		return err_set_errno(err, -errno, "enter the network namespace");
	r = open_steps(p, err);
	loop_source_destroy(TAKE_PTR(p->parent));
	if (r < 0) {
		console_raw_leave(&p->raw);
		proxy_abandon(p);
		if (config->netns_fd >= 0 && setns(own_netns, CLONE_NEWNET) < 0)
			return err_set_errno(err, -errno, "leave the network namespace");
		/* ABORTED is a monitor's word for being about to end. */
		if ((p->connection_lost || r == -ECONNABORTED) && !p->interrupted)
			r = PROXY_MONITOR_ENDED;
		return r;
	}
	/* For an exec the monitor opens FIFOs at the start. */
	if (!config->exec_id)
		close(TAKE_FD(p->input_holder));
	send_size(p);
	stdio_relay_start(p->relay);
	*ret = TAKE_PTR(p);
	return 0;
}

int proxy_open(const struct proxy_config *config, struct proxy **ret, struct err *err)
{
	return proxy_open_for(-EBADF, config, ret, err);
}

int proxy_start(struct proxy *p, struct err *err)
{
	int r = client_start(p->client, p->process, err);

	if (r < 0) {
		console_raw_leave(&p->raw);
		proxy_abandon(p);
		return r;
	}
	if (p->input_holder >= 0)
		close(TAKE_FD(p->input_holder));
	if (p->config->exec_id)
		unlink_fifos(p);
	send_size(p);
	return 0;
}

/* What a person would want to know beside an exit code of 137. */
static void explain_loss(struct proxy *p, struct err *err)
{
	_cleanup_free_ char *reason = NULL;

	if (!p->ended || p->wait_error < 0)
		err_set(err, -EPIPE, "the sandbox monitor of container '%s' has ended",
			p->config->id);
	else if (p->status == PROXY_EXIT_LOST && !p->connection_lost &&
		 client_lost_reason(p->client, p->config->id, &reason, NULL) == 0)
		err_set(err, -EPIPE, "the virtual machine of container '%s' was lost: %s",
			p->config->id, reason);
}

/* Output that its sink did not take, in front of what @err says by now. */
static void explain_unwritten(struct proxy *p, struct err *err)
{
	static const struct {
		enum stdio_relay_stream stream;
		const char *name;
	} outputs[] = { { STDIO_RELAY_ERR, "stderr" }, { STDIO_RELAY_OUT, "stdout" } };
	uint64_t bytes;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
		char text[ERR_TEXT_MAX / 4];

		r = stdio_relay_unwritten(p->relay, outputs[i].stream, &bytes);
		if (r == 0)
			continue;
		snprintf(text, sizeof(text), "%" PRIu64 " bytes of the container's %s could not be written: %s",
			 bytes, outputs[i].name, strerror(-r));
		if (err->code == 0)
			err_set(err, r, "%s", text);
		else
			err_prefix(err, "%s", text);
	}
}

static void explain(struct proxy *p, struct err *err)
{
	struct err own = ERR_INIT;
	char line[ERR_TEXT_MAX + 1];

	if (err) {
		explain_loss(p, err);
		explain_unwritten(p, err);
		return;
	}
	/* Nobody else tells; the loss of the machine the monitor has told. */
	explain_unwritten(p, &own);
	if (own.code == 0)
		return;
	snprintf(line, sizeof(line), "%s\n", own.text);
	stdio_relay_say(p->relay, line);
}

int proxy_wait(struct proxy *p, struct err *err)
{
	while (!(p->outputs_ended && (p->ended || p->connection_lost))) {
		if (loop_run_once(client_loop(p->client)) < 0)
			break;
	}
	console_raw_leave(&p->raw);
	explain(p, err);
	return p->ended ? (int)(p->status & 0xff) : PROXY_EXIT_LOST;
}

int proxy_delete(struct proxy *p, struct err *err)
{
	p->attached = false;
	return p->connection_lost ? 0 : client_delete(p->client, p->process, err);
}

void proxy_close(struct proxy *p)
{
	if (!p)
		return;
	console_raw_leave(&p->raw);
	stdio_relay_destroy(TAKE_PTR(p->relay));
	loop_source_destroy(p->signals);
	client_destroy(p->client);
	if (p->config->exec_id || !p->attached)
		unlink_fifos(p);
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++)
		if (p->fifo_fds[i] >= 0)
			close(p->fifo_fds[i]);
	if (p->signal_fd >= 0)
		close(p->signal_fd);
	if (p->input_holder >= 0)
		close(p->input_holder);
	if (p->console >= 0)
		close(p->console);
	free(p);
}
