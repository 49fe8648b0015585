/* SPDX-License-Identifier: Apache-2.0 */
/* Which commands a device becomes, and what is undone when one fails. The VMM is the test itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "hypervisor/qemu_device.h"
#include "tests/unit/check_leaks.h"

/* Longer than this is a hang. */
#define GUARD_MS 200000
#define MAC "02:00:00:00:00:01"

struct rig {
	struct loop *loop;
	struct loop_source *guard, *reader;
	struct qmp *qmp;
	struct qemu_devices *devices;
	int peer;
	char heard[8192]; /* commands: "name(fd) " each, arguments beside in @arguments */
	char arguments[8192];
	const char *refuse, *class; /* the command that fails, and how */
	const char *event_after;    /* the command behind whose answer DEVICE_DELETED is sent */
	unsigned int n_done;
	int code;
	char message[128];
};

static void on_guard(void *userdata)
{
	fail_msg("nothing happens");
}

static void say(struct rig *r, const char *text)
{
	assert_int_equal(write(r->peer, text, strlen(text)), strlen(text));
}

static void add_text(char *to, size_t size, const char *text)
{
	assert_true(strlen(to) + strlen(text) < size);
	strcat(to, text);
}

static void answer(struct rig *r, const char *line, bool with_fd)
{
	_cleanup_json_ struct json *root = NULL;
	const char *command = NULL;
	struct json *arguments;
	char text[256];

	assert_int_equal(json_parse(line, strlen(line), &root, NULL), 0);
	assert_int_equal(json_member_string(root, "", "execute", &command, NULL), 1);
	if (strcmp(command, "qmp_capabilities") != 0) {
		add_text(r->heard, sizeof(r->heard), command);
		add_text(r->heard, sizeof(r->heard), with_fd ? "+fd " : " ");
		arguments = json_get(root, "arguments");
		if (arguments) {
			_cleanup_free_ char *words = json_text(arguments, false);

			add_text(r->arguments, sizeof(r->arguments), words);
		}
	}
	if (r->refuse && !strcmp(command, r->refuse))
		snprintf(text, sizeof(text),
			 "{\"id\": %llu, \"error\": {\"class\": \"%s\", \"desc\": \"no\"}}\r\n",
			 (unsigned long long)json_uint(json_get(root, "id")), r->class);
	else
		snprintf(text, sizeof(text), "{\"id\": %llu, \"return\": {}}\r\n",
			 (unsigned long long)json_uint(json_get(root, "id")));
	say(r, text);
	if (r->event_after && !strcmp(command, r->event_after))
		say(r, "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"dev-0\", \"path\": \"/x\"},"
		       " \"timestamp\": {\"seconds\": 1, \"microseconds\": 1}}\r\n");
}

/* One command is in flight at a time, so one line is there. */
static void on_peer(int fd, unsigned int events, void *userdata)
{
	char line[4096] = "";
	int fds[FD_PASS_MAX];
	size_t n_fds = 0;
	ssize_t n = fd_receive(fd, line, sizeof(line) - 1, fds, FD_PASS_MAX, &n_fds);

	assert_true(n > 0 && line[n - 1] == '\n');
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	answer(userdata, line, n_fds > 0);
}

static void on_event(const char *event, const struct json *data, void *userdata)
{
	struct rig *r = userdata;

	qemu_devices_on_event(r->devices, r->qmp, event, data);
}

static void on_done(int code, const char *message, void *userdata)
{
	struct rig *r = userdata;

	r->n_done++;
	r->code = code;
	snprintf(r->message, sizeof(r->message), "%s", message ? message : "");
}

static void rig_start(struct rig *r)
{
	struct qmp_callbacks callbacks = { .on_event = on_event, .userdata = r };
	int fds[2];

	memset(r, 0, sizeof(*r));
	r->class = "GenericError";
	assert_int_equal(loop_create(&r->loop), 0);
	assert_int_equal(loop_add_timer(r->loop, GUARD_MS, on_guard, r, &r->guard), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	r->peer = fds[1];
	assert_int_equal(qmp_create(r->loop, fds[0], &callbacks, &r->qmp), 0);
	assert_int_equal(loop_add_fd(r->loop, r->peer, LOOP_READ, on_peer, r, &r->reader), 0);
	assert_int_equal(qemu_devices_create(r->loop, &r->devices), 0);
	say(r, "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n");
}

static void rig_stop(struct rig *r)
{
	qmp_destroy(r->qmp);
	qemu_devices_destroy(r->devices);
	loop_source_destroy(r->reader);
	loop_source_destroy(r->guard);
	loop_destroy(r->loop);
	close(r->peer);
}

static void wait_done(struct rig *r, unsigned int n)
{
	while (r->n_done < n)
		loop_run_once(r->loop);
}

static int add_nic(struct rig *r, const char *id, bool vhost)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct vm_device nic = { .kind = VM_DEVICE_NIC, .id = id, .fd = fd, .mac = MAC };

	if (vhost)
		nic.vhost_fd = fd;
	return qemu_devices_add(r->devices, r->qmp, &nic, on_done, r, NULL);
}

static void a_nic_is_a_tap_by_descriptor_and_a_device(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(add_nic(&r, "nic-1", false), 0);
	wait_done(&r, 1);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.heard, "getfd+fd netdev_add device_add ");
	assert_null(strstr(r.arguments, "vhost"));
	assert_non_null(strstr(r.arguments, MAC));
	rig_stop(&r);
}

static void vhost_is_passed_by_descriptor_too(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(add_nic(&r, "nic-1", true), 0);
	wait_done(&r, 1);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.heard, "getfd+fd getfd+fd netdev_add device_add ");
	assert_non_null(strstr(r.arguments, "\"vhost\":true"));
	assert_non_null(strstr(r.arguments, "\"vhostfd\":\"vhost-0\""));
	rig_stop(&r);
}

static void what_failed_is_undone_backwards(void **state)
{
	struct rig r;

	rig_start(&r);
	r.refuse = "netdev_add";
	assert_int_equal(add_nic(&r, "nic-1", true), 0);
	wait_done(&r, 1);
	assert_int_equal(r.code, -EREMOTEIO);
	assert_string_equal(r.message, "no");
	assert_string_equal(r.heard, "getfd+fd getfd+fd netdev_add closefd closefd ");
	/* The slot and the id are free again. */
	r.refuse = NULL;
	r.heard[0] = '\0';
	assert_int_equal(add_nic(&r, "nic-1", false), 0);
	wait_done(&r, 2);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.heard, "getfd+fd netdev_add device_add ");
	rig_stop(&r);
}

static void devices_wait_until_the_machine_is_restored(void **state)
{
	struct rig r;

	rig_start(&r);
	qemu_devices_hold(r.devices);
	assert_int_equal(add_nic(&r, "nic-1", false), 0);
	assert_int_equal(add_nic(&r, "nic-1", false), -EEXIST);
	assert_int_equal(add_nic(&r, "nic-2", false), 0);
	assert_int_equal(qemu_devices_remove(r.devices, r.qmp, "nic-1", NULL, NULL, NULL), -EBUSY);
	assert_int_equal(qmp_execute(r.qmp, "cont", NULL, -1, 1000, NULL, NULL), 0);
	while (!r.heard[0])
		loop_run_once(r.loop);
	assert_string_equal(r.heard, "cont ");
	qemu_devices_go_on(r.devices);
	wait_done(&r, 2);
	assert_int_equal(r.code, 0);
	assert_non_null(strstr(r.heard, "device_add"));
	/* Once is enough. */
	qemu_devices_go_on(r.devices);
	rig_stop(&r);
}

static void what_is_held_ends_with_the_machine(void **state)
{
	struct rig r;

	rig_start(&r);
	qemu_devices_hold(r.devices);
	assert_int_equal(add_nic(&r, "nic-1", true), 0);
	qemu_devices_fail(r.devices, -EPIPE, "gone");
	assert_int_equal(r.n_done, 1);
	assert_int_equal(r.code, -EPIPE);
	rig_stop(&r);
}

static void a_device_that_the_guest_has_just_ejected_is_waited_for(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(add_nic(&r, "nic-1", false), 0);
	wait_done(&r, 1);
	r.heard[0] = '\0';
	r.refuse = r.event_after = "device_del";
	r.class = "DeviceNotFound";
	assert_int_equal(qemu_devices_remove(r.devices, r.qmp, "nic-1", on_done, &r, NULL), 0);
	wait_done(&r, 2);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.heard, "device_del netdev_del closefd ");
	/* Another failure is one. */
	r.refuse = r.event_after = NULL;
	assert_int_equal(add_nic(&r, "nic-1", false), 0);
	wait_done(&r, 3);
	r.refuse = "device_del";
	r.class = "GenericError";
	assert_int_equal(qemu_devices_remove(r.devices, r.qmp, "nic-1", on_done, &r, NULL), 0);
	wait_done(&r, 4);
	assert_int_equal(r.code, -EREMOTEIO);
	rig_stop(&r);
}

/* The guest has switched the slot off by itself, and what stood behind the card is being taken away. */
static void a_device_on_its_way_out_is_waited_for(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(add_nic(&r, "nic-1", false), 0);
	wait_done(&r, 1);
	r.heard[0] = '\0';
	say(&r, "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"dev-0\", \"path\": \"/x\"},"
		" \"timestamp\": {\"seconds\": 1, \"microseconds\": 1}}\r\n");
	while (!strstr(r.heard, "netdev_del"))
		loop_run_once(r.loop);
	assert_int_equal(qemu_devices_remove(r.devices, r.qmp, "nic-1", on_done, &r, NULL), 0);
	/* Once is enough. */
	assert_int_equal(qemu_devices_remove(r.devices, r.qmp, "nic-1", on_done, &r, NULL), -EBUSY);
	wait_done(&r, 2);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.heard, "netdev_del closefd ");
	assert_int_equal(qemu_devices_remove(r.devices, r.qmp, "nic-1", on_done, &r, NULL), -ENOENT);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(a_nic_is_a_tap_by_descriptor_and_a_device),
		leak_checked(vhost_is_passed_by_descriptor_too),
		leak_checked(what_failed_is_undone_backwards),
		leak_checked(devices_wait_until_the_machine_is_restored),
		leak_checked(what_is_held_ends_with_the_machine),
		leak_checked(a_device_that_the_guest_has_just_ejected_is_waited_for),
		leak_checked(a_device_on_its_way_out_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
