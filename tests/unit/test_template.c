/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/json.h"
#include "common/path.h"
#include "hypervisor/memory_copy.h"
#include "hypervisor/template.h"
#include "tests/unit/check_leaks.h"

#define BYTES (UINT64_C(64) * MEMORY_COPY_PAGE)
#define MACHINE "a machine\nof some lines\n"

struct store {
	char path[64];
	int fd, up;
	char name[TEMPLATE_NAME_BYTES];
};

static void setup_store(struct store *s)
{
	struct err err = ERR_INIT;

	snprintf(s->path, sizeof(s->path), "/tmp/onggi-template-XXXXXX");
	assert_non_null(mkdtemp(s->path));
	s->up = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(template_store_open(s->path, false, &s->fd, &err), 0);
	template_name(MACHINE, s->name);
}

static void teardown_store(struct store *s)
{
	close(s->fd);
	assert_int_equal(path_remove_tree(s->up, s->path + strlen("/tmp/")), 0);
	close(s->up);
}

static struct template_draft *begin(struct store *s)
{
	struct template_draft *draft = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(template_begin(s->fd, MACHINE, BYTES, &draft, &err), 0);
	assert_int_equal(pwrite(draft->memory_fd, "memory", 6, 5 * MEMORY_COPY_PAGE), 6);
	assert_int_equal(write(draft->state_fd, "state", 5), 5);
	return draft;
}

static void make(struct store *s)
{
	struct err err = ERR_INIT;

	assert_int_equal(template_commit(begin(s), MACHINE, &err), 0);
}

static int try_open(struct store *s, const char *description, struct err *err)
{
	_cleanup_(template_close_p) struct template *t = NULL;

	return template_open(s->fd, description, &t, err);
}

/* Names in the folder, without the lock. */
static unsigned int count_entries(struct store *s)
{
	DIR *dir = opendir(s->path);
	struct dirent *entry;
	unsigned int n = 0;

	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.' && !strstr(entry->d_name, ".lock");
	closedir(dir);
	return n;
}

/* File @name of the template, made writable. */
static int open_for_damage(struct store *s, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s/%s", s->path, s->name, name);
	return open(path, O_RDWR | O_CLOEXEC);
}

static void what_was_saved_is_found_again(void **state)
{
	_cleanup_(template_close_p) struct template *t = NULL;
	struct err err = ERR_INIT;
	char buf[8] = "";
	struct store s;
	struct stat st;

	setup_store(&s);
	assert_int_equal(try_open(&s, MACHINE, &err), -ENOENT);
	make(&s);
	assert_int_equal(template_open(s.fd, MACHINE, &t, &err), 0);
	assert_int_equal(t->saved.memory_bytes, BYTES);
	assert_int_equal(read(t->saved.state_fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "state", 5);
	assert_int_equal(pread(t->saved.memory_fd, buf, 6, 5 * MEMORY_COPY_PAGE), 6);
	assert_memory_equal(buf, "memory", 6);
	/* Nobody can write through what readers get, nor open the files to do so without a chmod.
	 */
	assert_int_equal(write(t->saved.memory_fd, "x", 1), -1);
	assert_int_equal(fstat(t->saved.memory_fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0400);
	teardown_store(&s);
}

static void another_machine_has_another_template(void **state)
{
	struct err err = ERR_INIT;
	struct store s;

	setup_store(&s);
	make(&s);
	assert_int_equal(try_open(&s, "another machine", &err), -ENOENT);
	teardown_store(&s);
}

static void name_alone_proves_nothing(void **state)
{
	char other[TEMPLATE_NAME_BYTES];
	struct err err = ERR_INIT;
	struct store s;

	setup_store(&s);
	make(&s);
	template_name("another machine", other);
	assert_int_equal(renameat(s.fd, s.name, s.fd, other), 0);
	assert_int_equal(try_open(&s, "another machine", &err), -EBADMSG);
	assert_non_null(strstr(err.text, "another machine"));
	teardown_store(&s);
}

static void draft_is_invisible_until_it_is_whole(void **state)
{
	struct template_draft *draft;
	struct err err = ERR_INIT;
	struct store s;

	setup_store(&s);
	draft = begin(&s);
	assert_int_equal(try_open(&s, MACHINE, &err), -ENOENT);
	template_abandon(draft);
	assert_int_equal(try_open(&s, MACHINE, &err), -ENOENT);
	assert_int_equal(count_entries(&s), 0);
	teardown_store(&s);
}

static void two_makers_at_once_make_one(void **state)
{
	struct template_draft *first, *second = NULL;
	struct err err = ERR_INIT;
	struct store s;

	setup_store(&s);
	first = begin(&s);
	assert_int_equal(template_begin(s.fd, MACHINE, BYTES, &second, &err), -EWOULDBLOCK);
	assert_null(second);
	assert_int_equal(template_commit(first, MACHINE, &err), 0);
	assert_int_equal(count_entries(&s), 1);
	make(&s);
	assert_int_equal(count_entries(&s), 1);
	teardown_store(&s);
}

static void remains_of_a_killed_maker_are_removed(void **state)
{
	char path[128];
	struct store s;

	setup_store(&s);
	snprintf(path, sizeof(path), "%s.new", s.name);
	assert_int_equal(mkdirat(s.fd, path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s.new/memory", s.path, s.name);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	make(&s);
	assert_int_equal(count_entries(&s), 1);
	teardown_store(&s);
}

static void whoever_has_it_open_keeps_it_when_it_is_renewed(void **state)
{
	_cleanup_(template_close_p) struct template *t = NULL;
	struct err err = ERR_INIT;
	char buf[6];
	struct store s;

	setup_store(&s);
	make(&s);
	assert_int_equal(template_open(s.fd, MACHINE, &t, &err), 0);
	make(&s);
	assert_int_equal(template_remove(s.fd, s.name), 0);
	assert_int_equal(pread(t->saved.memory_fd, buf, 6, 5 * MEMORY_COPY_PAGE), 6);
	assert_memory_equal(buf, "memory", 6);
	teardown_store(&s);
}

static void clones_and_age_make_it_old(void **state)
{
	_cleanup_(template_close_p) struct template *t = NULL;
	struct err err = ERR_INIT;
	struct store s;

	setup_store(&s);
	make(&s);
	assert_int_equal(template_open(s.fd, MACHINE, &t, &err), 0);
	assert_false(template_is_old(t, 1, 1));
	template_count_clone(t);
	template_count_clone(t);
	template_close(TAKE_PTR(t));
	assert_int_equal(template_open(s.fd, MACHINE, &t, &err), 0);
	assert_int_equal(t->clones, 2);
	assert_false(template_is_old(t, 3, 0));
	assert_true(template_is_old(t, 2, 0));
	assert_false(template_is_old(t, 0, 0));
	/* It has aged by what this took, too. */
	t->created_s -= 3000;
	assert_false(template_is_old(t, 0, 1));
	t->created_s -= 600;
	assert_true(template_is_old(t, 0, 1));
	t->created_s += 7200;
	assert_true(template_is_old(t, 0, 1));
	teardown_store(&s);
}

/* What somebody or something may have done to a template, and how it must not be used then. */
static void truncate_memory(struct store *s)
{
	int fd = open_for_damage(s, "memory");

	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
}

static void change_state(struct store *s)
{
	int fd = open_for_damage(s, "state");

	assert_int_equal(pwrite(fd, "x", 1, 2), 1);
	close(fd);
}

static void lose_state(struct store *s)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/state", s->name);
	assert_int_equal(unlinkat(s->fd, path, 0), 0);
}

static void open_to_others(struct store *s)
{
	int fd = open_for_damage(s, "memory");

	assert_int_equal(fchmod(fd, 0444), 0);
	close(fd);
}

static void link_elsewhere(struct store *s)
{
	char path[64];

	lose_state(s);
	snprintf(path, sizeof(path), "%s/state", s->name);
	assert_int_equal(symlinkat("/etc/passwd", s->fd, path), 0);
}

static void spoil_meta(struct store *s)
{
	int fd = open_for_damage(s, "template.json");

	assert_int_equal(ftruncate(fd, 100), 0);
	close(fd);
}

static void change_owner(struct store *s)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/state", s->name);
	assert_int_equal(fchownat(s->fd, path, 1000, 1000, 0), 0);
}

static void damaged_template_is_not_used(void **state)
{
	static void (*const damages[])(struct store *) = {
		truncate_memory, change_state, lose_state,   open_to_others,
		link_elsewhere,	 spoil_meta,   change_owner,
	};

	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct err err = ERR_INIT;
		struct store s;

		setup_store(&s);
		make(&s);
		assert_int_equal(try_open(&s, MACHINE, &err), 0);
		damages[i](&s);
		assert_int_equal(try_open(&s, MACHINE, &err), -EBADMSG);
		assert_int_equal(template_remove(s.fd, s.name), 0);
		make(&s);
		assert_int_equal(try_open(&s, MACHINE, &err), 0);
		teardown_store(&s);
	}
}

static void folder_of_others_is_not_used(void **state)
{
	struct err err = ERR_INIT;
	struct store s;
	int fd = -1;

	setup_store(&s);
	assert_int_equal(chmod(s.path, 0755), 0);
	assert_int_equal(template_store_open(s.path, false, &fd, &err), -EPERM);
	assert_int_equal(chmod(s.path, 0700), 0);
	assert_int_equal(chown(s.path, 1000, 1000), 0);
	assert_int_equal(template_store_open(s.path, true, &fd, &err), -EPERM);
	assert_int_equal(template_store_open("/tmp/onggi-no-such-folder", false, &fd, &err),
			 -ENOENT);
	teardown_store(&s);
}

static void names_are_checked_before_anything_is_removed(void **state)
{
	static const char *const names[] = { "",
					     ".",
					     "..",
					     "0123456789abcde",
					     "0123456789abcdef0",
					     "0123456789ABCDEF",
					     "../../../../etc/",
					     "0123456789abcde/" };
	struct store s;

	setup_store(&s);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(template_remove(s.fd, names[i]), -EINVAL);
	assert_int_equal(template_remove(s.fd, "0123456789abcdef"), 0);
	teardown_store(&s);
}

/* Sizes of machines follow what tenants ask for. */
static void oldest_go_when_there_are_too_many(void **state)
{
	struct template_draft *draft;
	struct err err = ERR_INIT;
	char machine[32];
	struct store s;

	setup_store(&s);
	make(&s);
	for (int i = 0; i < 3 * TEMPLATE_COUNT_MAX; i++) {
		snprintf(machine, sizeof(machine), "machine %d", i);
		template_make_room(s.fd);
		assert_int_equal(template_begin(s.fd, machine, BYTES, &draft, &err), 0);
		assert_int_equal(template_commit(draft, machine, &err), 0);
		assert_true(count_entries(&s) <= TEMPLATE_COUNT_MAX);
	}
	assert_int_equal(count_entries(&s), TEMPLATE_COUNT_MAX);
	/* The newest is never the one that goes. */
	assert_int_equal(try_open(&s, machine, &err), 0);
	/* A damaged one goes before the good ones. */
	snprintf(s.name, sizeof(s.name), "%s", "");
	template_name(machine, s.name);
	spoil_meta(&s);
	template_make_room(s.fd);
	assert_int_equal(count_entries(&s), TEMPLATE_COUNT_MAX - 1);
	assert_int_equal(try_open(&s, machine, &err), -ENOENT);
	teardown_store(&s);
}

static void list_has_what_is_finished(void **state)
{
	struct template_draft *draft;
	char **names = NULL;
	struct store s;

	setup_store(&s);
	assert_int_equal(template_list(s.fd, &names), 0);
	assert_null(names[0]);
	json_free_strv(names);
	make(&s);
	draft = begin(&s);
	assert_int_equal(template_list(s.fd, &names), 0);
	assert_string_equal(names[0], s.name);
	assert_null(names[1]);
	json_free_strv(names);
	template_abandon(draft);
	teardown_store(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(what_was_saved_is_found_again),
		leak_checked(another_machine_has_another_template),
		leak_checked(name_alone_proves_nothing),
		leak_checked(draft_is_invisible_until_it_is_whole),
		leak_checked(two_makers_at_once_make_one),
		leak_checked(remains_of_a_killed_maker_are_removed),
		leak_checked(whoever_has_it_open_keeps_it_when_it_is_renewed),
		leak_checked(clones_and_age_make_it_old),
		leak_checked(damaged_template_is_not_used),
		leak_checked(folder_of_others_is_not_used),
		leak_checked(names_are_checked_before_anything_is_removed),
		leak_checked(oldest_go_when_there_are_too_many),
		leak_checked(list_has_what_is_finished),
	};

	return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
