/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sandbox_vm.h"

#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

#include "common/proto/agent.pb-c.h"
#include "common/trace.h"
#include "shim/machine.h"
#include "shim/sandbox_dns.h"
#include "shim/sandbox_forward.h"
#include "shim/sandbox_machine.h"
#include "shim/sandbox_network.h"
#include "shim/sandbox_template.h"
#include "shim/task.h"
#include "shim/template_make.h"

#define CONFIGURE_TIMEOUT_MS 30000
#define ENTROPY_BYTES 64
#define CONSOLE_TAIL_BYTES 1024
#define CONSOLE_TEXT_MAX (CONSOLE_TAIL_BYTES + 64)

const struct sandbox_files_ops sandbox_virtiofsd = {
	.create = file_server_create,
	.take_socket = file_server_take_socket,
	.start = file_server_start,
	.pid = file_server_pid,
	.set_readonly = file_server_set_readonly,
	.destroy = file_server_destroy,
};

/* ---- the ends of the three ---- */

/* The end of the guest's console as one line with a word before it; "" if there is none. */
static void console_words(struct sandbox *s, char *out, size_t size)
{
	char tail[CONSOLE_TAIL_BYTES] = "";
	size_t len = s->vm ? vm_console_tail(s->vm, tail, sizeof(tail)) : 0;

	while (len > 0 && tail[len - 1] == '\n')
		tail[--len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (tail[i] == '\n')
			tail[i] = ';';
	}
	snprintf(out, size, "%s%s", len > 0 ? "; end of the guest's console: " : "", tail);
}

/* "exit status 1" or "signal 9" */
static void status_words(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "signal %d", WTERMSIG(status));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

static void vm_ended(struct vm *vm, int status, const char *reason, void *userdata)
{
	char text[AGENT_TEXT_MAX], how[32], console[CONSOLE_TEXT_MAX];
	struct sandbox *s = userdata;

	agent_text(text, sizeof(text), reason);
	status_words(status, how, sizeof(how));
	/* It may have ended because its guest did. */
	console_words(s, console, sizeof(console));
	s->vmm_ended = true;
	sandbox_suspect(s, WITNESS_VMM, "the VMM has ended (%s)%s%s%s", how, text[0] ? ": " : "", text, console);
}

static void files_ended(struct file_server *fs, int status, const char *reason, void *userdata)
{
	char text[AGENT_TEXT_MAX], how[32];
	struct sandbox *s = userdata;

	agent_text(text, sizeof(text), reason);
	status_words(status, how, sizeof(how));
	s->files_ended = true;
	sandbox_suspect(s, status == 0 ? WITNESS_FILES_ENDED : WITNESS_FILES_FAILED,
			"the file server has ended (%s)%s%s", how, text[0] ? ": " : "", text);
}

static void agent_gone(void *userdata)
{
	sandbox_suspect(userdata, WITNESS_CHANNEL, "the agent has closed its channel");
}

/* ---- greeting the agent ---- */

static void give_up_boot(struct sandbox *s, const char *what, const char *message)
{
	char text[AGENT_TEXT_MAX], console[CONSOLE_TEXT_MAX];

	agent_text(text, sizeof(text), message);
	console_words(s, console, sizeof(console));
	sandbox_give_up(s, "%s: %s%s", what, text, console);
}

static void configured(enum ttrpc_code code, const char *message, const void *response,
		       void *userdata)
{
	const Onggi__Agent__V1__ConfigureResponse *answer = response;
	struct sandbox *s = userdata;

	if (agent_code_is_loss(code) || s->phase != SANDBOX_BOOTING)
		return;
	if (code != TTRPC_OK) {
		give_up_boot(s, "configure the guest", message);
		return;
	}
	agent_text(s->guest_kernel, sizeof(s->guest_kernel), answer->kernel_release);
	s->guest_memory_total = answer->memory_total_bytes;
	s->guest_memory_free = answer->memory_free_bytes;
	s->phase = SANDBOX_READY;
	trace_mark("guest is configured");
	sandbox_log(s, LOG_LEVEL_DEBUG, "guest is ready, kernel %s%s", s->guest_kernel,
		    s->restored ? ", restored" : "");
	sandbox_template_make(s);
	sandbox_network_guest_ready(s->network);
	for (struct task *c = s->containers, *next; c; c = next) {
		next = c->next;
		task_guest_ready(c);
	}
}

static void configure(struct sandbox *s)
{
	Onggi__Agent__V1__ConfigureRequest request = ONGGI__AGENT__V1__CONFIGURE_REQUEST__INIT;
	uint8_t entropy[ENTROPY_BYTES];
	struct timespec now;

	if (getrandom(entropy, sizeof(entropy), 0) != sizeof(entropy)) {
		sandbox_give_up(s, "no random bytes for the guest: %s", strerror(errno));
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	request.realtime_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	request.entropy = (ProtobufCBinaryData){ .data = entropy, .len = sizeof(entropy) };
	request.hostname = (char *)"onggi";
	request.share_tag = (char *)SANDBOX_SHARE_TAG;
	request.log_level = s->options.config->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING;
	agent_call(s, "Configure", &request.base, &onggi__agent__v1__configure_response__descriptor,
		   CONFIGURE_TIMEOUT_MS, configured, s);
	explicit_bzero(entropy, sizeof(entropy));
}

static void greeted(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct sandbox *s = userdata;
	char text[96];

	if (agent_code_is_loss(code) || s->phase != SANDBOX_BOOTING)
		return;
	if (code == TTRPC_DEADLINE_EXCEEDED) {
		snprintf(text, sizeof(text),
			 "the guest has not answered within %u ms ('boot_timeout_s')",
			 s->options.config->boot_timeout_ms);
		give_up_boot(s, "boot", text);
		return;
	}
	trace_mark("agent has answered");
	configure(s);
}

/*
 * The time that Configure carries must be that of its arrival, not of the boot's begin: so a call
 * that the agent does not know goes first, whose refusal says that it is there.
 */
static void greet(struct sandbox *s)
{
	Onggi__Agent__V1__Empty request = ONGGI__AGENT__V1__EMPTY__INIT;

	agent_call(s, "Greet", &request.base, &onggi__agent__v1__empty__descriptor,
		   s->options.config->boot_timeout_ms, greeted, s);
}

/* ---- starting ---- */

struct files_args {
	struct sandbox *s;
	struct err *err;
};

static int create_files_in_namespace(void *userdata)
{
	struct files_args *args = userdata;
	struct sandbox *s = args->s;
	struct file_server_config config = {
		.path = s->options.config->file_server,
		.dir = hostshare_path(s->share),
		.state_dirfd = s->dirfd,
	};

	return s->options.files->create(s->loop, &config, files_ended, s, &s->files, args->err);
}

static int start_files_in_namespace(void *userdata)
{
	struct files_args *args = userdata;

	return args->s->options.files->start(args->s->files, args->err);
}

static int start_vmm(struct sandbox *s, int share_fd, struct err *err)
{
	_cleanup_(template_close_p) struct template *template = NULL;
	static const struct vm_events events = { .on_exit = vm_ended };
	struct machine_size boot = sandbox_machine_boot(s);
	struct vm_config machine;

	machine_shape(s->options.config, s->accel, boot.vcpus, boot.memory_mib, &machine);
	machine.name = s->id;
	machine.share_fd = share_fd;
	machine.share_tag = SANDBOX_SHARE_TAG;
	machine.state_dirfd = s->dirfd;
	template = sandbox_template_find(s, &machine);
	trace_mark("template %s", template ? "found" : "not there: boot");
	s->restored = template;
	if (template) {
		machine.restore = &template->saved;
		snprintf(s->template_name, sizeof(s->template_name), "%s", template->name);
	}
	return vm_create(s->options.driver, s->loop, &machine, &events, s, &s->vm, err);
}

static int connect_agent(struct sandbox *s, struct err *err)
{
	_cleanup_close_ int fd = vm_agent_fd(s->vm);
	int r;

	if (fd < 0)
		return err_set_errno(err, fd, "channel to the agent");
	r = ttrpc_client_create(s->loop, fd, agent_gone, s, &s->agent);
	if (r < 0)
		return err_set_errno(err, r, "channel to the agent");
	/* A guest that only claims it would be waited for without an end. */
	ttrpc_client_distrust(s->agent, "the guest");
	if (s->restored)
		ttrpc_client_skip_streams(s->agent, TEMPLATE_MAKER_CALLS);
	TAKE_FD(fd);
	return 0;
}

/* The VMM takes longest to come up: it goes first. */
static int start_all(struct sandbox *s, struct err *err)
{
	struct files_args files = { s, err };
	_cleanup_close_ int share_fd = -EBADF;
	int r;

	r = hostshare_run(s->share, create_files_in_namespace, &files);
	if (r < 0)
		return r;
	share_fd = s->options.files->take_socket(s->files);
	if (share_fd < 0)
		return err_set_errno(err, share_fd, "socket of the file server");
	r = start_vmm(s, share_fd, err);
	trace_mark("VMM started");
	if (r >= 0)
		r = hostshare_run(s->share, start_files_in_namespace, &files);
	trace_mark("file server started");
	if (r >= 0)
		r = connect_agent(s, err);
	return r;
}

static void save_record(struct sandbox *s)
{
	struct err err = ERR_INIT;

	s->record->vmm = s->record->file_server = (struct process_id){ 0 };
	if (s->vm)
		process_id_of(vm_pid(s->vm), &s->record->vmm);
	if (s->files)
		process_id_of(s->options.files->pid(s->files), &s->record->file_server);
	if (!s->finished && sandbox_record_save(s->rootfd, s->record, &err) < 0)
		sandbox_log(s, LOG_LEVEL_ERROR, "%s", err.text);
}

int sandbox_vm_start(struct sandbox *s, struct err *err)
{
	int r;

	r = start_all(s, err);
	if (r < 0) {
		err_prefix(err, "start the sandbox's VM");
		sandbox_vm_stop(s);
		return r;
	}
	s->phase = SANDBOX_BOOTING;
	free(TAKE_PTR(s->last_loss));
	save_record(s);
	greet(s);
	sandbox_network_vm_started(s->network);
	return 0;
}

void sandbox_vm_stop(struct sandbox *s)
{
	bool was_there = s->vm || s->files;

	s->phase = SANDBOX_DOWN;
	ttrpc_client_destroy(TAKE_PTR(s->agent));
	sandbox_dns_destroy(TAKE_PTR(s->dns));
	sandbox_forward_vm_stopped(s->forward);
	vm_destroy(TAKE_PTR(s->vm));
	if (s->files)
		s->options.files->destroy(TAKE_PTR(s->files));
	sandbox_network_vm_stopped(s->network);
	free(TAKE_PTR(s->lost_reason));
	sandbox_clear_suspicion(s);
	if (was_there)
		save_record(s);
}
