/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c - what a workload sees and may do; a static program put into the tests' images
 *
 *   probe facts                  "key value" lines: ids, capability sets, limits, namespaces, descriptors, …
 *   probe burst BYTES SEED       BYTES of a sequence that depends on SEED to stdout, then exit at once
 *   probe sink BYTES SEED        read stdin to its end and compare with the same sequence
 *   probe try CALL [ARG…]        make one system call and print "ok" or the error's name
 *   probe alloc MIB [hold]       touch that much memory, then print "touched" (and wait for the end of stdin)
 *   probe forks N                fork N children that wait, print how many could be, then end all
 *   probe background SECONDS     print "parent", leave a child that keeps stdout open, exit
 *   probe signal NUMBER          kill itself
 *   probe catch                  print "ready", then the name of each signal that comes; ends at SIGUSR2
 *   probe smash PID              print "ready"; once stdin has a line or ends, overwrite that process's program, print
 *                                "smashed": it dies at its next step, of SIGILL, which not even PID 1 is spared
 *   probe ask udp|tcp NAME COUNT SECONDS
 *                                ask 127.0.0.11:53 for 0.NAME, 1.NAME, … one by one, wait SECONDS for each answer, whose
 *                                last four bytes must be that number; print how many were right, and the longest
 *   probe leave DIR FILE         map FILE of the mounted DIR, unmount that and print "open"; once stdin has a line, begin
 *                                to read ahead and let go of the last of the mount; print "waiting" when the kernel
 *                                waits with that, "left" when it has done it
 *   probe winsize                print the terminal's size, and again at each SIGWINCH; ends at SIGTERM
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_links(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		char path[512], target[512];
		ssize_t n;

		if (e->d_name[0] == '.')
			continue;
		if (dirfd(d) == atoi(e->d_name) && e->d_name[0] >= '0' && e->d_name[0] <= '9')
			continue; /* the descriptor of this listing */
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		printf("%s.%s %s\n", prefix, e->d_name, target);
	}
	closedir(d);
}

static void print_status(void)
{
	static const char *const keys[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
					    "Seccomp", "SigBlk", "SigIgn", "NSpid", "Dumpable", "Umask" };
	char line[1024];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
			size_t n = strlen(keys[i]);

			if (!strncmp(line, keys[i], n) && line[n] == ':')
				printf("%s %s", keys[i], line + n + 1 + strspn(line + n + 1, " \t"));
		}
	if (f)
		fclose(f);
}

static int do_facts(int argc, char **argv)
{
	static const struct {
		const char *name;
		int resource;
	} limits[] = { { "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC },   { "core", RLIMIT_CORE },
		       { "stack", RLIMIT_STACK },   { "fsize", RLIMIT_FSIZE },   { "memlock", RLIMIT_MEMLOCK },
		       { "cpu", RLIMIT_CPU },       { "data", RLIMIT_DATA },     { "as", RLIMIT_AS } };
	gid_t groups[64];
	char cwd[512];
	struct utsname u;
	int n = getgroups(64, groups);

	uname(&u);
	printf("release %s\nnodename %s\ndomainname %s\n", u.release, u.nodename, u.domainname);
	printf("pid %d\nuid %d\ngid %d\neuid %d\negid %d\ngroups", getpid(), getuid(), getgid(), geteuid(),
	       getegid());
	for (int i = 0; i < n; i++)
		printf(" %d", groups[i]);
	printf("\ncwd %s\n", getcwd(cwd, sizeof(cwd)) ? cwd : "?");
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit r;

		getrlimit(limits[i].resource, &r);
		printf("rlimit.%s %lld %lld\n", limits[i].name, (long long)r.rlim_cur, (long long)r.rlim_max);
	}
	for (int i = 0; i < argc; i++)
		printf("arg.%d %s\n", i, argv[i]);
	print_status();
	print_links("/proc/self/ns", "ns");
	print_links("/proc/self/fd", "fd");
	printf("sid %d\npgrp %d\ntty %d\n", getsid(0), getpgrp(), isatty(0));
	return 0;
}

/* A 64-bit linear congruential sequence, 8 bytes a step: cheap, and a lost or doubled block shows. */
static uint64_t next(uint64_t *s)
{
	*s = *s * 6364136223846793005ULL + 1442695040888963407ULL;
	return *s;
}

static int do_burst(int argc, char **argv)
{
	static uint64_t block[8192];
	uint64_t left = strtoull(argv[0], NULL, 10), seed = strtoull(argv[1], NULL, 10);

	while (left > 0) {
		size_t n = left < sizeof(block) ? (size_t)left : sizeof(block), done = 0;

		for (size_t i = 0; i < sizeof(block) / sizeof(block[0]); i++)
			block[i] = next(&seed);
		while (done < n) {
			ssize_t w = write(1, (char *)block + done, n - done);

			if (w < 0 && errno != EINTR)
				return 1;
			if (w > 0)
				done += (size_t)w;
		}
		left -= n;
	}
	return 0;
}

static int do_sink(int argc, char **argv)
{
	static uint64_t want[8192];
	static char got[sizeof(want)];
	uint64_t left = strtoull(argv[0], NULL, 10), seed = strtoull(argv[1], NULL, 10);
	char extra;

	while (left > 0) {
		size_t n = left < sizeof(want) ? (size_t)left : sizeof(want), done = 0;

		for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
			want[i] = next(&seed);
		while (done < n) {
			ssize_t r = read(0, got + done, n - done);

			if (r < 0 && errno == EINTR)
				continue;
			if (r <= 0)
				return printf("short by %llu\n", (unsigned long long)(left - done)), 1;
			done += (size_t)r;
		}
		if (memcmp(got, want, n))
			return printf("differs\n"), 1;
		left -= n;
	}
	if (read(0, &extra, 1) != 0)
		return printf("too much\n"), 1;
	printf("same\n");
	return 0;
}

static int answer(long r)
{
	if (r < 0)
		printf("%s\n", strerrorname_np(errno));
	else
		printf("ok\n");
	return 0;
}

static int do_try(int argc, char **argv)
{
	const char *call = argc > 0 ? argv[0] : "", *a = argc > 1 ? argv[1] : "", *b = argc > 2 ? argv[2] : "";

	fflush(stdout);
	if (!strcmp(call, "chroot"))
		return answer(chroot(a));
	if (!strcmp(call, "chown"))
		return answer(chown(a, (uid_t)atoi(b), (gid_t)-1));
	if (!strcmp(call, "settime")) {
		struct timeval tv;

		gettimeofday(&tv, NULL);
		return answer(settimeofday(&tv, NULL));
	}
	if (!strcmp(call, "sethostname"))
		return answer(sethostname(a, strlen(a)));
	if (!strcmp(call, "mknod"))
		return answer(mknod(a, S_IFCHR | 0600, makedev((unsigned int)atoi(b), (unsigned int)atoi(argv[3]))));
	if (!strcmp(call, "mount"))
		return answer(mount(a, b, argc > 3 ? argv[3] : "tmpfs", argc > 4 ? strtoul(argv[4], NULL, 0) : 0, NULL));
	if (!strcmp(call, "umount"))
		return answer(umount2(a, 0));
	if (!strcmp(call, "open"))
		return answer(open(a, (!strcmp(b, "w") ? O_WRONLY : O_RDONLY) | O_CLOEXEC));
	if (!strcmp(call, "create"))
		return answer(open(a, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	if (!strcmp(call, "unshare"))
		return answer(unshare((int)strtol(a, NULL, 0)));
	if (!strcmp(call, "socket"))
		return answer(socket(atoi(a), atoi(b), 0));
	if (!strcmp(call, "personality"))
		return answer(syscall(SYS_personality, strtoul(a, NULL, 0)));
	if (!strcmp(call, "mkdir"))
		return answer(mkdir(a, 0700));
	if (!strcmp(call, "getcwd"))
		return answer(syscall(SYS_getcwd, (char[512]){ 0 }, 512));
	if (!strcmp(call, "nice"))
		return answer(setpriority(PRIO_PROCESS, 0, atoi(a)));
	if (!strcmp(call, "kill"))
		return answer(kill(atoi(a), 0));
	fprintf(stderr, "probe: unknown call '%s'\n", call);
	return 2;
}

static int do_alloc(int argc, char **argv)
{
	size_t n = (size_t)atoi(argv[0]) << 20;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return answer(-1);
	for (size_t i = 0; i < n; i += 4096)
		p[i] = 1;
	printf("touched\n");
	fflush(stdout);
	/* "hold": until the end of stdin */
	while (argc > 1 && getchar() != EOF)
		;
	return 0;
}

static int do_forks(int argc, char **argv)
{
	int want = atoi(argv[0]), n;

	for (n = 0; n < want; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			pause();
			_exit(0);
		}
		if (pid < 0)
			break;
	}
	printf("%d\n", n);
	fflush(stdout);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}

static int do_background(int argc, char **argv)
{
	if (fork() == 0) {
		sleep((unsigned int)atoi(argv[0]));
		_exit(0);
	}
	printf("parent\n");
	return 0;
}

static int do_signal(int argc, char **argv)
{
	kill(getpid(), atoi(argv[0]));
	return 0;
}

static int do_catch(int argc, char **argv)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	printf("ready\n");
	fflush(stdout);
	while (sigwait(&all, &sig) == 0) {
		printf("%s\n", sigabbrev_np(sig) ? sigabbrev_np(sig) : "RT");
		fflush(stdout);
		if (sig == SIGUSR2)
			break;
	}
	return 0;
}

/* Fill [from, to) of the memory behind @fd with the instruction ud2. */
static int smash_range(int fd, unsigned long from, unsigned long to)
{
	static unsigned char ud2[4096];

	for (size_t i = 0; i < sizeof(ud2); i++)
		ud2[i] = i % 2 ? 0x0b : 0x0f;
	for (; from < to; from += sizeof(ud2))
		if (pwrite(fd, ud2, sizeof(ud2), (off_t)from) != (ssize_t)sizeof(ud2))
			return -1;
	return 0;
}

static int do_smash(int argc, char **argv)
{
	char path[64], line[512];
	unsigned long from, to;
	int fd, done = 0;
	FILE *maps;

	printf("ready\n");
	fflush(stdout);
	if (read(0, line, sizeof(line)) < 0)
		return answer(-1);
	snprintf(path, sizeof(path), "/proc/%d/maps", atoi(argv[0]));
	maps = fopen(path, "re");
	snprintf(path, sizeof(path), "/proc/%d/mem", atoi(argv[0]));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (!maps || fd < 0)
		return answer(-1);
	/* The vdso cannot be written to, and nobody needs it to die. */
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx r-xp", &from, &to) == 2 && strstr(line, "r-xp") && !strchr(line, '['))
			done |= smash_range(fd, from, to) < 0 ? 2 : 1;
	printf("%s\n", done == 1 ? "smashed" : strerror(errno));
	return done != 1;
}

static int do_winsize(int argc, char **argv)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	do {
		struct winsize w;

		if (ioctl(0, TIOCGWINSZ, &w) < 0)
			return answer(-1);
		printf("size %dx%d\n", w.ws_col, w.ws_row);
		fflush(stdout);
	} while (sigwait(&set, &sig) == 0 && sig != SIGTERM);
	return 0;
}

/* A DNS query for the address of "@number.@name". Returns its length. */
static size_t make_query(uint8_t *out, unsigned int number, const char *name)
{
	uint8_t *length = out + 12, *at = length + 1;
	char text[200];

	memcpy(out, (const uint8_t[]){ (uint8_t)(number >> 8), (uint8_t)number, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 }, 12);
	snprintf(text, sizeof(text), "%u.%s.", number, name);
	for (const char *c = text; *c; c++) {
		if (*c != '.') {
			*at++ = (uint8_t)*c;
			continue;
		}
		*length = (uint8_t)(at - length - 1);
		length = at++;
	}
	*length = 0;
	memcpy(at, "\0\1\0\1", 4);
	return (size_t)(at + 4 - out);
}

static size_t read_all(int fd, uint8_t *out, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len && (n = read(fd, out + done, len - done)) > 0)
		done += (size_t)n;
	return done;
}

/* Returns the length of the answer in @out, 0: none. */
static size_t ask(int tcp, int seconds, const uint8_t *query, size_t len, uint8_t *out)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(53) }, from = { 0 };
	int fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
	const struct timeval limit = { .tv_sec = seconds };
	socklen_t from_len = sizeof(from);
	uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };
	ssize_t got = 0;

	server.sin_addr.s_addr = htonl(0x7f00000b);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!tcp) {
		/* As musl does: not connected, and the sender of the answer is looked at. */
		sendto(fd, query, len, 0, (struct sockaddr *)&server, sizeof(server));
		got = recvfrom(fd, out, 65536, 0, (struct sockaddr *)&from, &from_len);
		if (from.sin_port != server.sin_port || from.sin_addr.s_addr != server.sin_addr.s_addr)
			got = 0;
	} else if (connect(fd, (struct sockaddr *)&server, sizeof(server)) == 0 && write(fd, head, 2) == 2 &&
		   write(fd, query, len) == (ssize_t)len && read_all(fd, head, 2) == 2) {
		got = (ssize_t)read_all(fd, out, (size_t)head[0] << 8 | head[1]);
	}
	close(fd);
	return got > 0 ? (size_t)got : 0;
}

static int do_ask(int argc, char **argv)
{
	unsigned int count = (unsigned int)atoi(argv[2]), right = 0;
	uint8_t query[300], out[65536];
	size_t longest = 0;

	for (unsigned int i = 0; i < count; i++) {
		size_t n = ask(!strcmp(argv[0], "tcp"), atoi(argv[3]), query, make_query(query, i, argv[1]), out);
		const uint8_t want[4] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };

		right += n > 16 && !memcmp(out, query, 2) && !memcmp(out + n - 4, want, 4);
		longest = n > longest ? n : longest;
	}
	printf("%u of %u, longest %zu\n", right, count, longest);
	return 0;
}

#define LEAVE_BYTES (1u << 20)

/* State letter of the process, from proc(5); @proc is a descriptor, since paths from the root may ask the file server. */
static char state_of(int proc, pid_t pid)
{
	char path[32], text[256] = "";
	int fd;
	char *end;

	snprintf(path, sizeof(path), "%d/stat", (int)pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '\0';
	close(fd);
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : '?';
}

/* Says when @pid is not to be woken by signals: it waits for a device, here the file server. */
static void watch(int proc, pid_t pid)
{
	char state;

	while ((state = state_of(proc, pid)) != 'D' && state != '?')
		usleep(1000);
	if (state == 'D')
		write(STDOUT_FILENO, "waiting\n", 8);
	_exit(0);
}

/*
 * Of all that holds a mount only a mapping can be let go of without asking the file server: a path is looked up, and a
 * descriptor flushed.
 */
static int do_leave(int argc, char **argv)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), fd;
	pid_t self = getpid();
	char path[256];
	void *map;

	(void)argc;
	snprintf(path, sizeof(path), "%s/%s", argv[0], argv[1]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	map = mmap(NULL, LEAVE_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED || madvise(map, LEAVE_BYTES, MADV_DONTFORK) < 0 || close(fd) < 0 ||
	    umount2(argv[0], MNT_DETACH) < 0)
		return answer(-1);
	printf("open\n");
	fflush(stdout);
	getchar();
	if (fork() == 0)
		watch(proc, self);
	if (madvise(map, LEAVE_BYTES, MADV_WILLNEED) < 0 || munmap(map, LEAVE_BYTES) < 0)
		return answer(-1);
	printf("left\n");
	fflush(stdout);
	while (wait(NULL) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int min_args;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{ "facts", 0, do_facts },   { "burst", 2, do_burst },	{ "sink", 2, do_sink },
		{ "try", 1, do_try },	    { "alloc", 1, do_alloc },	{ "forks", 1, do_forks },
		{ "background", 1, do_background }, { "signal", 1, do_signal }, { "catch", 0, do_catch },
		{ "winsize", 0, do_winsize }, { "smash", 1, do_smash }, { "ask", 4, do_ask },
		{ "leave", 2, do_leave },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].min_args)
			return commands[i].run(argc - 2, argv + 2);
	fprintf(stderr, "usage: see the head of probe.c\n");
	return 2;
}
