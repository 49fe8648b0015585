/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_driver - boot a guest and hold its agent to what it promises
 *
 * Usage: agent_driver KERNEL INITRAMFS
 *
 * Starts QEMU and virtiofsd by itself, without anything of ours on the host's side but ttrpc, so
 * that a failure here is the agent's or the kernel's. Environment: QEMU, VIRTIOFSD (programs),
 * TSC_KHZ. The console of a failed guest is printed.
 */
#include "tests/unit/agent_claims.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/path.h"

#define GUEST_MEMORY "256M"
/*
 * Emulated, string instructions go byte by byte and wide vectors through helpers: without them,
 * copying is 3 times as fast.
 */
#define GUEST_CPU "max,-erms,-fsrm,-avx,-avx2"
/* Resident memory that the agent may use, KiB. */
#define AGENT_RSS_MAX_KIB 1536
/* Containers made with a profile. */
#define PROFILE_ROUNDS 20
#define EXEC_ROUNDS 20

/* What the agent waits for a host that has left, and a bit, in seconds. */
#define HOST_AWAY_MAX_S 20

static char folder[32];
static const char *kernel, *initramfs;
static pid_t qemu_pid, virtiofsd_pid;
static int qmp = -EBADF;

static const char *program(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value ? value : fallback;
}

/* ---- the machine ---- */

static pid_t spawn(const char *const *args, int keep)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (keep >= 0)
		fd_set_cloexec(keep, false);
	execvp(args[0], (char *const *)args);
	fprintf(stderr, "%s: %s\n", args[0], strerror(errno));
	_exit(127);
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(addr.sun_path));
	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void start_virtiofsd(const char *socket_path)
{
	char source[128], fd_option[32];
	int fd = listen_at(socket_path);

	snprintf(source, sizeof(source), "source=%s/share", folder);
	snprintf(fd_option, sizeof(fd_option), "--fd=%d", fd);
	virtiofsd_pid = spawn((const char *const[]){ program("VIRTIOFSD", "/usr/lib/qemu/virtiofsd"), fd_option, "-o",
						     source, "-o", "log_level=err", "-o", "cache=always", NULL },
			      fd);
	close(fd);
}

#define FS_DEVICE "vhost-user-fs-pci,chardev=fs,tag=onggi,bus=port0"

/* @with_share: the file system device is there from the start; otherwise plug_share() brings it. */
static void start_qemu(const char *agent_socket, const char *fs_socket, bool with_share)
{
	char agent[64], fs[256], serial[128], append[256], qmp_option[64];
	int agent_fd = listen_at(agent_socket), sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	/* The host may come and go, so the port's other side is a listening socket. */
	snprintf(agent, sizeof(agent), "socket,id=agent,fd=%d,server=on,wait=off", agent_fd);
	snprintf(qmp_option, sizeof(qmp_option), "socket,id=qmp,fd=%d", sockets[1]);
	snprintf(fs, sizeof(fs), "socket,id=fs,path=%s", fs_socket);
	snprintf(serial, sizeof(serial), "file:%s/console", folder);
	snprintf(append, sizeof(append), "console=ttyS0 quiet loglevel=3 pcie_ports=native panic=-1 reboot=t tsc_early_khz=%s",
		 program("TSC_KHZ", "2445434"));
	fd_set_cloexec(agent_fd, false);
	qemu_pid = spawn(
		(const char *const[]){ program("QEMU", "qemu-system-x86_64"),
				       "-M", "microvm,pcie=on,acpi=on,memory-backend=mem",
				       "-accel", "tcg", "-cpu", GUEST_CPU, "-m", GUEST_MEMORY,
				       "-object", "memory-backend-memfd,id=mem,size=" GUEST_MEMORY ",share=on",
				       "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
				       "-global", "virtio-mmio.force-legacy=false",
				       "-kernel", kernel, "-initrd", initramfs, "-append", append,
				       "-serial", serial,
				       "-device", "virtio-serial-device",
				       "-chardev", agent,
				       "-device", "virtserialport,id=agent,chardev=agent,name=onggi.agent",
				       "-chardev", qmp_option, "-mon", "chardev=qmp,mode=control",
				       "-chardev", fs,
				       "-device", "pcie-root-port,id=port0,chassis=1",
				       "-device", "pcie-root-port,id=port1,chassis=2",
				       "-device", "pcie-root-port,id=port2,chassis=3",
				       with_share ? "-device" : NULL, FS_DEVICE,
				       NULL },
		sockets[1]);
	close(sockets[1]);
	close(agent_fd);
	qmp = sockets[0];
}

/* Send @commands, then read QMP's lines until one holds @want. */
static void qmp_talk(const char *commands, const char *want)
{
	char line[4096];
	size_t used = 0;

	assert_int_equal(io_write_all(qmp, commands, strlen(commands)), 0);
	do {
		assert_int_equal(read(qmp, line + used, 1), 1);
		used = line[used] == '\n' || used == sizeof(line) - 2 ? (line[used] = '\0', 0) : used + 1;
	} while (used || !strstr(line, want));
}

static void plug_share(void)
{
	static const char commands[] =
		"{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"vhost-user-fs-pci\","
		"\"chardev\":\"fs\",\"tag\":\"onggi\",\"bus\":\"port0\",\"id\":\"fs0\"}}";

	qmp_talk(commands, "return");
}

static void connect_agent(void)
{
	char path[128];
	int fd = -EBADF;

	snprintf(path, sizeof(path), "%s/agent.sock", folder);
	assert_int_equal(ttrpc_connect_unix(path, &fd, NULL), 0);
	assert_int_equal(ttrpc_client_create(peer.loop, fd, NULL, NULL, &peer.client), 0);
}

static void setup_guest(bool with_share)
{
	char path[128], fs_path[128];

	strcpy(folder, "/tmp/onggi-driver-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/share", folder);
	assert_int_equal(mkdir(path, 0755), 0);
	make_rootfs(path);
	snprintf(fs_path, sizeof(fs_path), "%s/fs.sock", folder);
	start_virtiofsd(fs_path);
	snprintf(path, sizeof(path), "%s/agent.sock", folder);
	start_qemu(path, fs_path, with_share);
	peer.burst_bytes = 8u << 20;
	assert_int_equal(loop_create(&peer.loop), 0);
}

static int setup(void **state)
{
	setup_guest(true);
	connect_agent();
	return 0;
}

static int setup_without_share(void **state)
{
	setup_guest(false);
	return 0;
}

static void print_console(void)
{
	_cleanup_free_ char *text = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/console", folder);
	if (io_read_file(AT_FDCWD, path, 1u << 20, &text, NULL) == 0 && text[0])
		fprintf(stderr, "---- console of the guest ----\n%s\n", text);
}

static int teardown(void **state)
{
	int status;

	print_console();
	ttrpc_client_destroy(peer.client);
	cleanup_close_p(&qmp);
	loop_destroy(peer.loop);
	kill(qemu_pid, SIGKILL);
	waitpid(qemu_pid, &status, 0);
	kill(virtiofsd_pid, SIGKILL);
	waitpid(virtiofsd_pid, &status, 0);
	path_remove_tree(AT_FDCWD, folder);
	return 0;
}

/* ---- claims about a guest ---- */

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int configure(const char *hostname, size_t entropy_len, int64_t realtime_ns, const char *tag,
		     Onggi__Agent__V1__ConfigureResponse **ret)
{
	Onggi__Agent__V1__ConfigureRequest request = ONGGI__AGENT__V1__CONFIGURE_REQUEST__INIT;
	uint8_t entropy[600];

	assert_int_equal(getrandom(entropy, entropy_len, 0), (ssize_t)entropy_len);
	request.realtime_ns = realtime_ns;
	request.entropy.data = entropy;
	request.entropy.len = entropy_len;
	request.hostname = (char *)hostname;
	request.share_tag = (char *)tag;
	request.log_level = 1;
	return call("Configure", &request.base, &onggi__agent__v1__configure_response__descriptor, ret);
}

static void guest_is_configured(void **state)
{
	Onggi__Agent__V1__ConfigureResponse *response = NULL;
	double begin = now_ms();

	assert_status(configure("jar", 31, 1, "", NULL), TTRPC_INVALID_ARGUMENT);
	print_message("  from start to first answer: %.0f ms\n", now_ms() - begin);
	assert_status(configure("jar", 513, 1, "", NULL), TTRPC_INVALID_ARGUMENT);
	assert_status(configure("", 32, 1, "", NULL), TTRPC_INVALID_ARGUMENT);
	assert_status(configure("a b", 32, 1, "", NULL), TTRPC_INVALID_ARGUMENT);
	assert_status(configure("jar", 32, -1, "", NULL), TTRPC_INVALID_ARGUMENT);
	assert_status(configure("jar", 32, 1, "a,b", NULL), TTRPC_INVALID_ARGUMENT);
	assert_call(configure("jar", 512, 1800000000000000000, "onggi", &response));
	assert_string_equal(response->version, ONGGI_VERSION);
	assert_true(response->memory_total_bytes > 128u << 20);
	assert_true(response->memory_free_bytes > 64u << 20);
	assert_true(response->memory_free_bytes < response->memory_total_bytes);
	assert_int_equal(response->cpus, 1);
	print_message("  kernel %s, %llu of %llu MiB available\n", response->kernel_release,
		      (unsigned long long)response->memory_free_bytes >> 20,
		      (unsigned long long)response->memory_total_bytes >> 20);
	protobuf_c_message_free_unpacked(&response->base, NULL);
	assert_call(configure("jar", 32, 1800000000000000000, "onggi", NULL));
	assert_status(configure("jar", 32, 1800000000000000000, "other", NULL), TTRPC_FAILED_PRECONDITION);
}

/* A container whose config.json has @text in place of @part. */
static int create_edited(const char *id, const char *script, const char *part, const char *text)
{
	Onggi__Agent__V1__CreateContainerRequest request = ONGGI__AGENT__V1__CREATE_CONTAINER_REQUEST__INIT;
	static char spec[32768];
	char usual[8192], *at;

	json_spec(SH(script), false, NULL, usual, sizeof(usual));
	at = strstr(usual, part);
	assert_non_null(at);
	assert_true(snprintf(spec, sizeof(spec), "%.*s%s%s", (int)(at - usual), usual, text, at + strlen(part)) <
		    (int)sizeof(spec));
	request.container_id = (char *)id;
	request.rootfs = (char *)"/run/onggi/share/busybox";
	request.spec.data = (uint8_t *)spec;
	request.spec.len = strlen(spec);
	return call("CreateContainer", &request.base, &onggi__agent__v1__create_container_response__descriptor,
		    NULL);
}

/* In the guest's own pid namespace a container sees the agent as process 1. */
static int create_in_guest_pids(const char *id, const char *script)
{
	return create_edited(id, script, "{\"type\":\"pid\"},", "");
}

static void agent_is_small(void **state)
{
	unsigned int rss = 0, anon = 0;
	char buf[65536], *line;

	assert_call(create_in_guest_pids("c", "cat /proc/1/status"));
	assert_call(start("c", ""));
	read_all("c", "", 1, buf, sizeof(buf));
	line = strstr(buf, "VmRSS:");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "VmRSS: %u kB", &rss), 1);
	line = strstr(buf, "RssAnon:");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "RssAnon: %u kB", &anon), 1);
	print_message("  agent: %u KiB resident, %u of them its program\n", rss, rss - anon);
	assert_in_range(rss, 1, AGENT_RSS_MAX_KIB);
	remove_container("c");
}

/* Allows each call that libseccomp knows but mkdir and mkdirat, on the architectures that engines list. */
static void json_profile(char *buf, size_t size)
{
	size_t used = (size_t)snprintf(buf, size, "{\"type\":\"network\"}],\"seccomp\":{\"defaultAction\":"
				       "\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\","
				       "\"SCMP_ARCH_X32\"],\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[\"_\"");

	for (int nr = 0; nr < 500; nr++) {
		_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);

		if (name && strncmp(name, "mkdir", 5) != 0)
			used += (size_t)snprintf(buf + used, size - used, ",\"%s\"", name);
	}
	used += (size_t)snprintf(buf + used, size - used, "]}]}");
	assert_true(used < size);
}

static void whole_profiles_hold(void **state)
{
	double begin, ms[2] = { 0 };
	char profile[16384];

	json_profile(profile, sizeof(profile));
	for (int i = 0; i < PROFILE_ROUNDS; i++) {
		for (int with = 0; with < 2; with++) {
			begin = now_ms();
			assert_call(create_edited("c", "mkdir /tmp/x 2> /dev/null && echo made",
						  "{\"type\":\"network\"}]",
						  with ? profile : "{\"type\":\"network\"}]"));
			ms[with] += (now_ms() - begin) / PROFILE_ROUNDS;
			assert_call(start("c", ""));
			expect_output("c", "", 1, with ? "" : "made\n");
			expect_end("c", "", with ? 1 : 0);
			remove_container("c");
		}
	}
	print_message("  create: %.0f ms, with a profile %.0f ms\n", ms[0], ms[1]);
}

static void cgroups_are_delegated_up_to_their_namespaces(void **state)
{
	char buf[4096];

	assert_call(create_edited("c", "cd /sys/fs/cgroup; cat /proc/self/mounts memory.max hugetlb.2MB.max; "
				       "echo max > memory.max",
				  "\"mounts\":[", "\"mounts\":[{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\","
				  "\"source\":\"cgroup\",\"options\":[\"rw\"]},"));
	assert_call(start("c", ""));
	read_all("c", "", 1, buf, sizeof(buf));
	assert_non_null(strstr(buf, "nsdelegate,memory_recursiveprot"));
	read_all("c", "", 2, buf, sizeof(buf));
	assert_non_null(strstr(buf, "Operation not permitted"));
	remove_container("c");
}

static void agent_cannot_be_rewritten_or_looked_into(void **state)
{
	char buf[4096];

	assert_call(create_in_guest_pids("c", "cat /proc/1/environ /proc/1/maps /proc/1/fd/3; "
					      "ls /proc/1/root/; echo x > /proc/1/exe; echo end"));
	assert_call(start("c", ""));
	expect_output("c", "", 1, "end\n");
	read_all("c", "", 2, buf, sizeof(buf));
	assert_non_null(strstr(buf, "/proc/1/exe: Permission denied"));
	remove_container("c");
}

static void exec_again_and_again(void **state)
{
	double at[5], sum[4] = { 0 };

	run_container("c", ARGS("/bin/sleep", "1000"));
	for (int i = 0; i < EXEC_ROUNDS; i++) {
		at[0] = now_ms();
		assert_call(add("c", "x", ARGS("/bin/true"), false));
		at[1] = now_ms();
		assert_call(start("c", "x"));
		at[2] = now_ms();
		expect_end("c", "x", 0);
		at[3] = now_ms();
		assert_call(ref("RemoveProcess", "c", "x"));
		at[4] = now_ms();
		for (int j = 0; j < 4; j++)
			sum[j] += (at[j + 1] - at[j]) / EXEC_ROUNDS;
	}
	print_message("  exec of true: add %.1f, start %.1f, wait %.1f, remove %.1f ms\n", sum[0], sum[1], sum[2],
		      sum[3]);
	remove_container("c");
}

static void output_gets_through_in_pieces_of_any_size(void **state)
{
	_cleanup_free_ char *buf = malloc(2u << 20);
	static const uint32_t sizes[] = { 32u << 10, 1u << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		double begin, speed;
		size_t total = 0;
		bool eof = false;

		run_container("c", SH("exec dd if=/dev/zero bs=65536 count=512"));
		begin = now_ms();
		while (!eof) {
			size_t used = 0;

			assert_call(read_once("c", "", 1, sizes[i], buf, 2u << 20, &used, &eof));
			total += used;
		}
		assert_int_equal(total, 32u << 20);
		speed = (double)total / 1e3 / (now_ms() - begin);
		print_message("  output in pieces of %u KiB: %.0f MB/s\n", sizes[i] >> 10, speed);
		remove_container("c");
	}
}

/* The machine switches itself off, without a crash. */
static void expect_power_off(void)
{
	int status = 0;

	assert_int_equal(waitpid(qemu_pid, &status, 0), qemu_pid);
	assert_int_equal(status, 0);
	/* For the teardown, which kills what is left. */
	qemu_pid = fork();
	if (qemu_pid == 0)
		_exit(0);
}

static void shutdown_switches_the_machine_off(void **state)
{
	Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;
	double begin;

	run_container("c", ARGS("/bin/sleep", "1000"));
	begin = now_ms();
	assert_call(call("Shutdown", &empty.base, EMPTY, NULL));
	expect_power_off();
	print_message("  shutdown: %.0f ms\n", now_ms() - begin);
}

/* ---- the network ---- */

static const uint8_t nic_macs[][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };

/* Both sit on one hub, as if at one switch. */
static void plug_nic(unsigned int i)
{
	char commands[512];

	snprintf(commands, sizeof(commands),
		 "{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"hubport\",\"id\":\"net%u\",\"hubid\":0}}", i);
	qmp_talk(commands, "return");
	snprintf(commands, sizeof(commands),
		 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"virtio-net-pci\",\"netdev\":\"net%u\","
		 "\"mac\":\"02:00:00:00:00:%02x\",\"romfile\":\"\",\"bus\":\"port%u\",\"id\":\"nic%u\"}}",
		 i, i + 1, i + 1, i);
	qmp_talk(commands, "return");
}

/* The first @n cards, called "eth5", "eth6", with 10.0.5.1/24, 10.0.6.1/24; the first has a default route. */
static int update_network(size_t n, ttrpc_done_fn done, void *userdata)
{
	Onggi__Agent__V1__UpdateNetworkRequest request = ONGGI__AGENT__V1__UPDATE_NETWORK_REQUEST__INIT;
	Onggi__Agent__V1__NetworkInterface nics[2], *nic_list[2];
	Onggi__Agent__V1__IpAddress addresses[2], *address_list[2];
	Onggi__Agent__V1__NetworkRoute route = ONGGI__AGENT__V1__NETWORK_ROUTE__INIT, *routes = &route;
	static const char *const names[] = { "eth5", "eth6" };
	uint8_t bytes[2][4], gateway[4] = { 10, 0, 5, 254 };

	for (size_t i = 0; i < n; i++) {
		onggi__agent__v1__network_interface__init(&nics[i]);
		onggi__agent__v1__ip_address__init(&addresses[i]);
		memcpy(bytes[i], (const uint8_t[]){ 10, 0, (uint8_t)(5 + i), 1 }, 4);
		addresses[i].address = (ProtobufCBinaryData){ .len = 4, .data = bytes[i] };
		addresses[i].prefix = 24;
		address_list[i] = &addresses[i];
		nics[i].name = (char *)names[i];
		nics[i].mac = (ProtobufCBinaryData){ .len = 6, .data = (uint8_t *)nic_macs[i] };
		nics[i].mtu = 1400;
		nics[i].addresses = &address_list[i];
		nics[i].n_addresses = 1;
		nic_list[i] = &nics[i];
	}
	request.interfaces = nic_list;
	request.n_interfaces = n;
	route.gateway = (ProtobufCBinaryData){ .len = 4, .data = gateway };
	route.interface = (char *)"eth5";
	route.family = AF_INET;
	request.routes = &routes;
	request.n_routes = n > 0;
	return done ? ttrpc_client_call(peer.client, AGENT_SERVICE, "UpdateNetwork", &request.base, EMPTY, AGENT_CALL_MS,
					done, userdata) :
		      call("UpdateNetwork", &request.base, EMPTY, NULL);
}

static void on_updated(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	*(int *)userdata = (int)code;
}

static void network_script(const char *script, char *buf, size_t size)
{
	run_container("c", SH(script));
	read_all("c", "", 1, buf, size);
	remove_container("c");
}

static void cards_are_plugged_named_and_given_back_at_once(void **state)
{
	char buf[16384];
	double begin;
	int code = -1;

	qmp_talk("{\"execute\":\"qmp_capabilities\"}", "return");
	/* Nobody has asked for anything: a card stays as it came. */
	plug_nic(0);
	/* One is there, the other comes later. */
	assert_int_equal(update_network(2, on_updated, &code), 0);
	assert_status(start("nobody", ""), TTRPC_NOT_FOUND);
	assert_int_equal(code, -1);
	begin = now_ms();
	plug_nic(1);
	while (code < 0)
		assert_int_equal(loop_run_once(peer.loop), 0);
	assert_int_equal(code, TTRPC_OK);
	print_message("  from plugging to being in use: %.0f ms\n", now_ms() - begin);
	network_script("ip addr; ip route", buf, sizeof(buf));
	assert_non_null(strstr(buf, "inet 10.0.5.1/24 scope global eth5"));
	assert_non_null(strstr(buf, "inet 10.0.6.1/24 scope global eth6"));
	assert_non_null(strstr(buf, "mtu 1400"));
	assert_null(strstr(buf, "fe80"));
	assert_non_null(strstr(buf, "default via 10.0.5.254 dev eth5"));
	begin = now_ms();
	assert_call(update_network(2, NULL, NULL));
	print_message("  the same again: %.1f ms\n", now_ms() - begin);
	/* Without the slot's switch the guest would keep it for five seconds after being asked. */
	begin = now_ms();
	assert_call(update_network(1, NULL, NULL));
	qmp_talk("", "\"DEVICE_DELETED\", \"data\": {\"device\": \"nic1\"");
	print_message("  given back: %.0f ms\n", now_ms() - begin);
	network_script("ip addr; ip route", buf, sizeof(buf));
	assert_non_null(strstr(buf, "eth5"));
	assert_null(strstr(buf, "eth6"));
	assert_call(update_network(0, NULL, NULL));
	qmp_talk("", "\"DEVICE_DELETED\", \"data\": {\"device\": \"nic0\"");
	network_script("ip addr", buf, sizeof(buf));
	assert_null(strstr(buf, "eth5"));
	assert_non_null(strstr(buf, "127.0.0.1/8"));
	assert_non_null(strstr(buf, "::1/128"));
}

static void on_configured(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	*(int *)userdata = (int)code;
}

/* What a template is saved after: the guest is ready, and nobody has spoken to it. */
static void opened_port_says_that_the_guest_is_ready(void **state)
{
	qmp_talk("{\"execute\":\"qmp_capabilities\"}", "\"VSERPORT_CHANGE\"");
	connect_agent();
	assert_call(configure("jar", 32, 1800000000000000000, "", NULL));
}

static void share_that_is_plugged_later_is_waited_for(void **state)
{
	Onggi__Agent__V1__ConfigureRequest request = ONGGI__AGENT__V1__CONFIGURE_REQUEST__INIT;
	uint8_t entropy[32] = { 1 };
	int code = -1;

	/* The guest is up, and has no such device. */
	assert_call(configure("jar", 32, 1800000000000000000, "", NULL));
	request.realtime_ns = 1800000000000000000;
	request.entropy.data = entropy;
	request.entropy.len = sizeof(entropy);
	request.hostname = (char *)"jar";
	request.share_tag = (char *)"onggi";
	assert_int_equal(ttrpc_client_call(peer.client, AGENT_SERVICE, "Configure", &request.base,
					   &onggi__agent__v1__configure_response__descriptor, AGENT_CALL_MS,
					   on_configured, &code),
			 0);
	/* An answer to a later call: the agent has looked by now, and is not stuck. */
	assert_status(start("nobody", ""), TTRPC_NOT_FOUND);
	assert_status(configure("jar", 32, 1800000000000000000, "onggi", NULL), TTRPC_FAILED_PRECONDITION);
	assert_int_equal(code, -1);
	plug_share();
	while (code < 0)
		assert_int_equal(loop_run_once(peer.loop), 0);
	assert_int_equal(code, TTRPC_OK);
	container_prints_and_ends(state);
}

static void host_may_come_back(void **state)
{
	const struct timespec pause = { .tv_sec = 1 };

	run_container("c", SH("read x; echo $x"));
	ttrpc_client_destroy(peer.client);
	/* A host that is back before the guest has looked is taken for the same: see channel.h. */
	nanosleep(&pause, NULL);
	connect_agent();
	assert_call(write_input("c", "", "still there\n", 12, &(uint32_t){ 0 }));
	expect_output("c", "", 1, "still there\n");
	expect_end("c", "", 0);
	remove_container("c");
}

static void guest_ends_when_its_host_stays_away(void **state)
{
	double begin = now_ms();

	ttrpc_client_destroy(peer.client);
	peer.client = NULL;
	expect_power_off();
	assert_in_range((unsigned long)(now_ms() - begin), 5000, HOST_AWAY_MAX_S * 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_is_configured),
		cmocka_unit_test(agent_is_small),
		AGENT_CLAIMS,
		cmocka_unit_test(memory_limit_is_reported_as_oom),
		cmocka_unit_test(agent_cannot_be_rewritten_or_looked_into),
		cmocka_unit_test(cgroups_are_delegated_up_to_their_namespaces),
		cmocka_unit_test(whole_profiles_hold),
		cmocka_unit_test(exec_again_and_again),
		cmocka_unit_test(output_gets_through_in_pieces_of_any_size),
		cmocka_unit_test(cards_are_plugged_named_and_given_back_at_once),
		cmocka_unit_test(agent_is_small),
		cmocka_unit_test(host_may_come_back),
		cmocka_unit_test(shutdown_switches_the_machine_off),
	};
	const struct CMUnitTest channel_tests[] = {
		cmocka_unit_test(opened_port_says_that_the_guest_is_ready),
		cmocka_unit_test(share_that_is_plugged_later_is_waited_for),
		cmocka_unit_test(guest_ends_when_its_host_stays_away),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: %s KERNEL INITRAMFS\n", argv[0]);
		return 2;
	}
	kernel = argv[1];
	initramfs = argv[2];
	return cmocka_run_group_tests(tests, setup, teardown) +
	       cmocka_run_group_tests(channel_tests, setup_without_share, teardown);
}
