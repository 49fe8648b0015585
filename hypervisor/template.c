/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * NAME.lock is held (flock) by who makes NAME; it is never removed, since a lock on a file that
 * another has unlinked would be none. NAME.new is what is being made; whoever holds the lock and
 * finds one removes it. The finished folder is renamed to NAME, or exchanged with the NAME that is
 * there, which is removed afterwards: readers hold descriptors, so they keep what they opened.
 */
#include "hypervisor/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/io.h"
#include "common/json.h"
#include "common/path.h"
#include "hypervisor/memory_copy.h"

#define FORMAT 1
#define META_FILE "template.json"
#define MEMORY_FILE "memory"
#define STATE_FILE "state"
#define CLONES_FILE "clones"
#define META_BYTES_MAX (2 * TEMPLATE_DESCRIPTION_MAX)
#define MEMORY_BYTES_MAX (UINT64_C(1) << 40)
#define TEMPLATES_MAX 1024
#define SECONDS_PER_HOUR 3600

/* ---- the folder ---- */

int template_store_open(const char *path, bool create, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r = create ? path_mkdir_p(path, 0700) : 0;

	if (r < 0)
		return err_set_errno(err, r, "folder of templates '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(err, -errno, "folder of templates '%s'", path);
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return err_set(
			err, -EPERM,
			"folder of templates '%s': not ours alone (wanted: uid %d, mode 0700)",
			path, (int)geteuid());
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void template_name(const char *description, char ret[TEMPLATE_NAME_BYTES])
{
	snprintf(ret, TEMPLATE_NAME_BYTES, "%016llx",
		 (unsigned long long)XXH3_64bits(description, strlen(description)));
}

static bool name_valid(const char *name)
{
	return strlen(name) == TEMPLATE_NAME_BYTES - 1 &&
	       strspn(name, "0123456789abcdef") == TEMPLATE_NAME_BYTES - 1;
}

int template_remove(int store, const char *name)
{
	return name_valid(name) ? path_remove_tree(store, name) : -EINVAL;
}

int template_list(int store, char ***ret)
{
	_cleanup_closedir_ DIR *dir = NULL;
	char **names = calloc(TEMPLATES_MAX + 1, sizeof(*names));
	struct dirent *entry;
	size_t n = 0;
	int fd;

	if (!names)
		return -ENOMEM;
	fd = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		json_free_strv(names);
		return r;
	}
	while (n < TEMPLATES_MAX && (entry = readdir(dir)))
		if (name_valid(entry->d_name) && !(names[n++] = strdup(entry->d_name))) {
			json_free_strv(names);
			return -ENOMEM;
		}
	*ret = names;
	return 0;
}

/* ---- reading ---- */

static int damaged(struct err *err, const struct template *t, const char *why)
{
	return err_set(err, -EBADMSG, "template %s: %s", t->name, why);
}

/* A file of ours, that nobody has written to since. @ret_st may be NULL. */
static int open_file(const struct template *t, const char *name, struct stat *st, int *ret_fd,
		     struct err *err)
{
	_cleanup_close_ int fd =
		openat(t->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) < 0)
		return err_set(err, -EBADMSG, "template %s: file '%s' cannot be opened (errno %d)",
			       t->name, name, errno);
	if (!S_ISREG(st->st_mode) || st->st_uid != geteuid() || (st->st_mode & 077) != 0 ||
	    st->st_nlink != 1)
		return damaged(err, t, "a file is not ours alone");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

struct meta {
	uint64_t format, memory_bytes, memory_checksum, state_bytes, state_checksum;
	int64_t created_s;
	const char *description;
};

static int read_meta(const struct template *t, struct json **ret, struct meta *meta,
		     struct err *err)
{
	_cleanup_json_ struct json *j = NULL;
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t len;
	int r = open_file(t, META_FILE, &st, &fd, err);

	if (r < 0)
		return r;
	r = io_read_fd(fd, META_BYTES_MAX, &text, &len);
	if (r == 0)
		r = json_parse(text, len, &j, NULL);
	if (r < 0 || !json_is_object(j))
		return damaged(err, t, "'" META_FILE "' cannot be read");
	if (json_member_uint(j, "", "format", UINT64_MAX, &meta->format, NULL) != 1 ||
	    meta->format != FORMAT)
		return damaged(err, t, "it has the format of another version");
	if (json_member_string(j, "", "description", &meta->description, NULL) != 1 ||
	    json_member_int(j, "", "created", 0, INT64_MAX, &meta->created_s, NULL) != 1 ||
	    json_member_uint(j, "", "memoryBytes", MEMORY_BYTES_MAX, &meta->memory_bytes, NULL) !=
		    1 ||
	    json_member_uint(j, "", "memoryChecksum", UINT64_MAX, &meta->memory_checksum, NULL) !=
		    1 ||
	    json_member_uint(j, "", "stateBytes", TEMPLATE_STATE_MAX, &meta->state_bytes, NULL) !=
		    1 ||
	    json_member_uint(j, "", "stateChecksum", UINT64_MAX, &meta->state_checksum, NULL) != 1)
		return damaged(err, t, "'" META_FILE "' lacks something");
	*ret = TAKE_PTR(j);
	return 0;
}

static int sum_state(int fd, uint64_t *ret_bytes, uint64_t *ret_checksum)
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	r = io_read_fd(fd, TEMPLATE_STATE_MAX, &data, &len);
	if (r < 0)
		return r;
	*ret_bytes = len;
	*ret_checksum = XXH3_64bits(data, len);
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

static int open_contents(struct template *t, const struct meta *meta, struct err *err)
{
	uint64_t bytes, checksum;
	struct stat st;
	int r;

	r = open_file(t, STATE_FILE, &st, &t->saved.state_fd, err);
	if (r < 0)
		return r;
	t->stored_bytes = (uint64_t)st.st_blocks * 512;
	r = sum_state(t->saved.state_fd, &bytes, &checksum);
	if (r < 0 || bytes != meta->state_bytes || checksum != meta->state_checksum)
		return damaged(err, t, "its state is not what was saved");
	r = open_file(t, MEMORY_FILE, &st, &t->saved.memory_fd, err);
	if (r < 0)
		return r;
	t->stored_bytes += (uint64_t)st.st_blocks * 512;
	if ((uint64_t)st.st_size != meta->memory_bytes)
		return damaged(err, t, "its memory has not the size it had");
	t->saved.memory_bytes = meta->memory_bytes;
	t->saved.memory_checksum = meta->memory_checksum;
	t->created_s = meta->created_s;
	if (fstatat(t->dirfd, CLONES_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		t->clones = (uint64_t)st.st_size;
	return 0;
}

/* @description: what it has to be of; NULL: anything. */
static int open_template(int store, const char *name, const char *description,
			 struct template **ret, struct err *err)
{
	_cleanup_(template_close_p) struct template *t = calloc(1, sizeof(*t));
	_cleanup_json_ struct json *j = NULL;
	struct meta meta;
	int r;

	if (!t)
		return err_set_errno(err, -ENOMEM, "template");
	t->saved.memory_fd = t->saved.state_fd = -EBADF;
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->dirfd = openat(store, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (t->dirfd < 0)
		return err_set(err, errno == ENOENT ? -ENOENT : -EBADMSG, "template %s: errno %d",
			       name, errno);
	r = read_meta(t, &j, &meta, err);
	if (r == 0 && description && strcmp(description, meta.description) != 0)
		r = damaged(err, t, "it is of another machine");
	if (r == 0)
		r = open_contents(t, &meta, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(t);
	return 0;
}

int template_open(int store, const char *description, struct template **ret, struct err *err)
{
	char name[TEMPLATE_NAME_BYTES];

	template_name(description, name);
	return open_template(store, name, description, ret, err);
}

int template_open_name(int store, const char *name, struct template **ret, struct err *err)
{
	if (!name_valid(name))
		return err_set(err, -EINVAL, "'%s' is no name of a template", name);
	return open_template(store, name, NULL, ret, err);
}

void template_close(struct template *t)
{
	if (!t)
		return;
	cleanup_close_p(&t->saved.memory_fd);
	cleanup_close_p(&t->saved.state_fd);
	cleanup_close_p(&t->dirfd);
	free(t);
}

bool template_is_old(const struct template *t, uint64_t clones_max, uint32_t hours_max)
{
	int64_t age_s = (int64_t)time(NULL) - t->created_s;

	/* One from the future was made before somebody set the clock: its age is unknown. */
	return (clones_max && t->clones >= clones_max) ||
	       (hours_max && (age_s < 0 || age_s >= (int64_t)hours_max * SECONDS_PER_HOUR));
}

/* The one that was made first; a damaged one counts as older than all. NULL: fewer than TEMPLATE_COUNT_MAX. */
static const char *one_too_many(int store, char **names)
{
	const char *oldest = NULL;
	int64_t oldest_s = INT64_MAX;
	size_t n = 0;

	for (; names[n]; n++) {
		_cleanup_(template_close_p) struct template *t = NULL;
		struct err err = ERR_INIT;
		int64_t created_s = template_open_name(store, names[n], &t, &err) < 0 ? -1 : t->created_s;

		if (created_s < oldest_s) {
			oldest_s = created_s;
			oldest = names[n];
		}
	}
	return n < TEMPLATE_COUNT_MAX ? NULL : oldest;
}

void template_make_room(int store)
{
	for (size_t i = 0; i < TEMPLATES_MAX; i++) {
		char **names = NULL;
		const char *name = template_list(store, &names) < 0 ? NULL : one_too_many(store, names);
		bool more = name && template_remove(store, name) == 0;

		json_free_strv(names);
		if (!more)
			return;
	}
}

/* One byte for each: appending is atomic, and the size is the count. */
void template_count_clone(const struct template *t)
{
	_cleanup_close_ int fd =
		openat(t->dirfd, CLONES_FILE,
		       O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0)
		io_write_all(fd, "+", 1);
}

/* ---- making ---- */

/* "NAME.new" or "NAME.lock" */
static const char *beside(char *buf, size_t size, const char *name, const char *suffix)
{
	snprintf(buf, size, "%s%s", name, suffix);
	return buf;
}

static int lock_name(struct template_draft *d, struct err *err)
{
	char path[TEMPLATE_NAME_BYTES + 8];

	beside(path, sizeof(path), d->name, ".lock");
	d->lock = openat(d->store, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->lock < 0)
		return err_set_errno(err, -errno, "template %s: lock", d->name);
	if (flock(d->lock, LOCK_EX | LOCK_NB) < 0)
		return err_set_errno(err, -errno, "template %s: it is being made", d->name);
	return 0;
}

static int make_files(struct template_draft *d, struct err *err)
{
	char path[TEMPLATE_NAME_BYTES + 8];
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, r;

	beside(path, sizeof(path), d->name, ".new");
	r = path_remove_tree(d->store, path);
	if (r == 0 && mkdirat(d->store, path, 0700) < 0)
		r = -errno;
	if (r < 0)
		return err_set_errno(err, r, "template %s: folder", d->name);
	d->dirfd = openat(d->store, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d->dirfd >= 0)
		d->memory_fd = openat(d->dirfd, MEMORY_FILE, flags, 0600);
	if (d->memory_fd >= 0)
		d->state_fd = openat(d->dirfd, STATE_FILE, flags, 0600);
	if (d->state_fd < 0 || ftruncate(d->memory_fd, (off_t)d->memory_bytes) < 0)
		return err_set_errno(err, -errno, "template %s: files", d->name);
	return 0;
}

int template_begin(int store, const char *description, uint64_t memory_bytes,
		   struct template_draft **ret, struct err *err)
{
	_cleanup_(template_abandon_p) struct template_draft *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set_errno(err, -ENOMEM, "template");
	*d = (struct template_draft){
		.dirfd = -EBADF, .lock = -EBADF, .memory_fd = -EBADF, .state_fd = -EBADF
	};
	d->memory_bytes = memory_bytes;
	template_name(description, d->name);
	d->store = fcntl(store, F_DUPFD_CLOEXEC, 3);
	if (d->store < 0)
		return err_set_errno(err, -errno, "template %s", d->name);
	r = lock_name(d, err);
	if (r == 0)
		r = make_files(d, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

static int write_meta(struct template_draft *d, const char *description, struct err *err)
{
	_cleanup_json_ struct json *j = json_new_object();
	_cleanup_free_ char *text = NULL;
	uint64_t state_bytes, state_checksum, memory_checksum;
	int r;

	r = sum_state(d->state_fd, &state_bytes, &state_checksum);
	if (r == 0)
		r = memory_copy_seal(d->memory_fd, d->memory_bytes, &memory_checksum);
	if (r < 0)
		return err_set_errno(err, r, "template %s: sum up", d->name);
	if (!j || json_set(j, "format", json_new_uint(FORMAT)) < 0 ||
	    json_set(j, "created", json_new_int(time(NULL))) < 0 ||
	    json_set(j, "memoryBytes", json_new_uint(d->memory_bytes)) < 0 ||
	    json_set(j, "memoryChecksum", json_new_uint(memory_checksum)) < 0 ||
	    json_set(j, "stateBytes", json_new_uint(state_bytes)) < 0 ||
	    json_set(j, "stateChecksum", json_new_uint(state_checksum)) < 0 ||
	    json_set(j, "description", json_new_string(description)) < 0 ||
	    !(text = json_text(j, true)))
		return err_set_errno(err, -ENOMEM, "template %s", d->name);
	r = io_replace_file(d->dirfd, META_FILE, text, strlen(text), 0400);
	return r < 0 ? err_set_errno(err, r, "template %s: '%s'", d->name, META_FILE) : 0;
}

/* From now on nobody writes them, us included. The memory was the VMM's. */
static int publish(struct template_draft *d, struct err *err)
{
	char path[TEMPLATE_NAME_BYTES + 8];

	if (fchown(d->memory_fd, geteuid(), (gid_t)-1) < 0 || fchmod(d->memory_fd, 0400) < 0 || fchmod(d->state_fd, 0400) < 0)
		return err_set_errno(err, -errno, "template %s: publish", d->name);
	beside(path, sizeof(path), d->name, ".new");
	if (renameat2(d->store, path, d->store, d->name, RENAME_NOREPLACE) == 0)
		return 0;
	/* An older one is there: it comes under our name, and goes with it. */
	if (errno == EEXIST && renameat2(d->store, path, d->store, d->name, RENAME_EXCHANGE) == 0)
		return 0;
	return err_set_errno(err, -errno, "template %s: publish", d->name);
}

int template_commit(struct template_draft *d, const char *description, struct err *err)
{
	int r = write_meta(d, description, err);

	if (r == 0)
		r = publish(d, err);
	template_abandon(d);
	return r;
}

void template_abandon(struct template_draft *d)
{
	char path[TEMPLATE_NAME_BYTES + 8];

	if (!d)
		return;
	if (d->dirfd >= 0)
		path_remove_tree(d->store, beside(path, sizeof(path), d->name, ".new"));
	cleanup_close_p(&d->memory_fd);
	cleanup_close_p(&d->state_fd);
	cleanup_close_p(&d->dirfd);
	cleanup_close_p(&d->lock);
	cleanup_close_p(&d->store);
	free(d);
}
