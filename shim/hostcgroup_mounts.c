/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/hostcgroup_mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/io.h"

#define MOUNTINFO_BYTES_MAX (8u << 20)
#define CGROUP_BYTES_MAX (64u << 10)
#define USUAL_FOLDER "/sys/fs/cgroup/"

/* Every controller there ever was: other options of a mount are none. */
static const char *const controller_names[] = {
	"cpuset", "cpu",        "cpuacct", "blkio",   "memory", "devices", "freezer",
	"net_cls", "perf_event", "net_prio", "hugetlb", "pids",   "rdma",    "misc",
};

void hostcgroup_mounts_finish(struct hostcgroup_mounts *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->list[i].controllers);
		free(m->list[i].mount);
		free(m->list[i].own);
	}
	*m = (struct hostcgroup_mounts){ 0 };
}

bool hostcgroup_has_controller(const char *controllers, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = controllers; *p; p += *p == ',') {
		size_t n = strcspn(p, ",");

		if (n == len && !strncmp(p, name, len))
			return true;
		p += n;
	}
	return false;
}

/* ---- one line of mountinfo ---- */

struct line {
	char *root, *mount, *type, *options;
	unsigned int major, minor;
};

/* The kernel writes blanks and the like as a backslash and three octal digits. */
static void unescape(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' &&
		    text[2] <= '7' && text[3] >= '0' && text[3] <= '7') {
			*out++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 +
					(text[3] - '0'));
			text += 3;
		} else {
			*out++ = *text;
		}
	}
	*out = '\0';
}

/* Cuts @text into pieces. Whether it is a cgroup's. */
static bool parse_line(char *text, struct line *l)
{
	char *rest = strstr(text, " - "), *device;

	if (!rest)
		return false;
	*rest = '\0';
	rest += strlen(" - ");
	l->type = strsep(&rest, " ");
	if (strcmp(l->type, "cgroup") != 0 && strcmp(l->type, "cgroup2") != 0)
		return false;
	strsep(&rest, " ");
	l->options = rest ? rest : text + strlen(text);
	strsep(&text, " ");
	strsep(&text, " ");
	device = strsep(&text, " ");
	l->root = strsep(&text, " ");
	l->mount = strsep(&text, " ");
	if (!l->mount || sscanf(device, "%u:%u", &l->major, &l->minor) != 2)
		return false;
	unescape(l->root);
	unescape(l->mount);
	return l->mount[0] == '/';
}

/* "rw,cpu,cpuacct" to "cpu,cpuacct". NULL: no memory. */
static char *controllers_of(const struct line *l)
{
	size_t size = strlen(l->options) + 2, used = 0;
	char *out = calloc(1, size), *options = l->options, *option;

	if (!out || !strcmp(l->type, "cgroup2"))
		return out;
	while ((option = strsep(&options, ","))) {
		bool known = !strncmp(option, "name=", strlen("name="));

		for (size_t i = 0; i < sizeof(controller_names) / sizeof(*controller_names); i++)
			known |= !strcmp(option, controller_names[i]);
		if (!known)
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", option);
	}
	return out;
}

/* Another mount may lie on top of it. */
static bool reachable(const struct line *l)
{
	_cleanup_close_ int fd = open(l->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && fstatfs(fd, &fs) == 0 &&
	       (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC) &&
	       major(st.st_dev) == l->major && minor(st.st_dev) == l->minor;
}

/* ---- the cgroup of this process ---- */

/* Path of the hierarchy with @controllers in the text of /proc/self/cgroup; NULL: not there. */
static char *own_path(const char *text, const char *controllers)
{
	_cleanup_free_ char *copy = strdup(text), *first = strdup(controllers);
	char *rest = copy, *line;

	if (!copy || !first)
		return NULL;
	first[strcspn(first, ",")] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		char *names;

		if (!strsep(&line, ":") || !(names = strsep(&line, ":")) || !line)
			continue;
		if (first[0] ? hostcgroup_has_controller(names, first) : names[0] == '\0')
			return strdup(line);
	}
	return NULL;
}

/* @path, of the hierarchy, seen from a mount that shows @root of it. */
static char *below_mount(const char *path, const char *root)
{
	size_t len = strlen(root);

	if (!path || strstr(path, "/.."))
		return strdup("/");
	if (len == 1 || !strcmp(root, ""))
		return strdup(path);
	if (!strncmp(path, root, len) && (path[len] == '/' || path[len] == '\0'))
		return strdup(path[len] ? path + len : "/");
	return strdup("/");
}

/* ---- choosing ---- */

static struct hostcgroup_mount *find(struct hostcgroup_mounts *m, const char *controllers)
{
	for (size_t i = 0; i < m->n; i++) {
		if (!strcmp(m->list[i].controllers, controllers))
			return &m->list[i];
	}
	return NULL;
}

static bool usual(const char *mount)
{
	return !strncmp(mount, USUAL_FOLDER, strlen(USUAL_FOLDER)) ||
	       !strcmp(mount, "/sys/fs/cgroup");
}

static int take_line(struct hostcgroup_mounts *m, const struct line *l, const char *cgroup)
{
	_cleanup_free_ char *controllers = controllers_of(l), *path = NULL;
	struct hostcgroup_mount *mount;
	char *where, *own;

	if (!controllers)
		return -ENOMEM;
	mount = find(m, controllers);
	/* A later mount at the same place lies on top. */
	if (mount && strcmp(mount->mount, l->mount) != 0 &&
	    (usual(mount->mount) || !usual(l->mount)))
		return 0;
	if (!mount && m->n == HOSTCGROUP_HIERARCHIES_MAX)
		return -E2BIG;
	path = own_path(cgroup, controllers);
	where = strdup(l->mount);
	own = below_mount(path, l->root);
	if (!where || !own) {
		free(where);
		free(own);
		return -ENOMEM;
	}
	if (!mount) {
		mount = &m->list[m->n++];
		mount->controllers = TAKE_PTR(controllers);
	}
	free(mount->mount);
	free(mount->own);
	mount->mount = where;
	mount->own = own;
	return 0;
}

static int choose(char *mountinfo, const char *cgroup, bool look, struct hostcgroup_mounts *ret)
{
	struct hostcgroup_mounts m = { 0 };
	char *line;
	int r = 0;

	while (r == 0 && (line = strsep(&mountinfo, "\n"))) {
		struct line l;

		if (parse_line(line, &l) && (!look || reachable(&l)))
			r = take_line(&m, &l, cgroup);
	}
	if (r < 0) {
		hostcgroup_mounts_finish(&m);
		return r;
	}
	m.unified = m.n > 0;
	for (size_t i = 0; i < m.n; i++) {
		if (m.list[i].controllers[0] &&
		    strncmp(m.list[i].controllers, "name=", strlen("name=")) != 0)
			m.unified = false;
	}
	*ret = m;
	return 0;
}

int hostcgroup_mounts_parse(const char *mountinfo, const char *cgroup, struct hostcgroup_mounts *ret)
{
	_cleanup_free_ char *copy = strdup(mountinfo);

	return copy ? choose(copy, cgroup, false, ret) : -ENOMEM;
}

int hostcgroup_mounts_read(struct hostcgroup_mounts *ret, struct err *err)
{
	_cleanup_free_ char *mountinfo = NULL, *cgroup = NULL;
	int r;

	r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &mountinfo, NULL);
	if (r >= 0)
		r = io_read_file(AT_FDCWD, "/proc/self/cgroup", CGROUP_BYTES_MAX, &cgroup, NULL);
	if (r >= 0)
		r = choose(mountinfo, cgroup, true, ret);
	return r < 0 ? err_set_errno(err, r, "cgroup hierarchies of this machine") : 0;
}
