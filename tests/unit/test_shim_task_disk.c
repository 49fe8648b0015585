/* SPDX-License-Identifier: Apache-2.0 */
/* A rootfs on a disk: which mounts are one, how it goes into the VM and out of it. */
#include "tests/unit/shim_world.h"

#include <sys/mount.h>

#include "shim/task_disk.h"

struct outcome {
	bool over;
	enum ttrpc_code code;
	char text[512];
};

static void on_done(enum ttrpc_code code, const char *message, void *userdata)
{
	struct outcome *o = userdata;

	assert_false(o->over);
	o->over = true;
	o->code = code;
	snprintf(o->text, sizeof(o->text), "%s", message);
}

static struct task_mount mount_of(const char *type, const char *source, char **options, size_t n)
{
	return (struct task_mount){ .type = type, .source = source, .options = options, .n_options = n };
}

/* ---- the plan ---- */

static int plan_of(const char *type, const char *source, const char *option, struct task_disk_plan *plan,
		   struct err *err)
{
	char *options[] = { (char *)option };
	const struct task_mount mount = mount_of(type, source, options, option ? 1 : 0);

	*err = (struct err)ERR_INIT;
	return task_disk_plan(&mount, 1, plan, err);
}

static void ext4_and_erofs_are_disks_and_erofs_is_read_only(void **state)
{
	struct task_disk_plan plan;
	struct err err;

	assert_int_equal(plan_of("ext4", "/dev/mapper/x", NULL, &plan, &err), 1);
	assert_int_equal(plan.n, 1);
	assert_string_equal(plan.list[0].type, "ext4");
	assert_string_equal(plan.list[0].source, "/dev/mapper/x");
	assert_string_equal(plan.list[0].options, "");
	assert_int_equal(plan.list[0].flags, 0);
	task_disk_plan_finish(&plan);
	assert_int_equal(plan_of("ext4", "/x", "ro", &plan, &err), 1);
	assert_int_equal(plan.list[0].flags, MS_RDONLY);
	task_disk_plan_finish(&plan);
	assert_int_equal(plan_of("erofs", "/x", "rw", &plan, &err), 1);
	assert_int_equal(plan.list[0].flags, MS_RDONLY);
	task_disk_plan_finish(&plan);
}

static void options_are_told_apart(void **state)
{
	char *options[] = { (char *)"loop", (char *)"noatime", (char *)"discard", (char *)"nodev", (char *)"data=ordered" };
	const struct task_mount mount = mount_of("ext4", "/x", options, ARRAY_SIZE(options));
	struct task_disk_plan plan;

	assert_int_equal(task_disk_plan(&mount, 1, &plan, NULL), 1);
	assert_string_equal(plan.list[0].options, "discard,data=ordered");
	assert_int_equal(plan.list[0].flags, MS_NOATIME | MS_NODEV);
	task_disk_plan_finish(&plan);
}

static void what_the_host_mounts_is_no_disk(void **state)
{
	static const char *const types[] = { "overlay", "bind", "", "btrfs", "zfs", "tmpfs", "ext", "ext44" };
	struct task_disk_plan plan;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		assert_int_equal(plan_of(types[i], "/x", NULL, &plan, &err), 0);
	assert_int_equal(task_disk_plan(NULL, 0, &plan, &err), 0);
}

static void what_the_guest_cannot_mount_is_refused_by_name(void **state)
{
	static const char *const types[] = { "xfs", "squashfs", "ext2", "ext3", "vfat", "f2fs", "iso9660" };
	static const char *const options[] = { "bind", "remount", "rshared", "rro", "sync" };
	struct task_mount several[2];
	struct task_disk_plan plan;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(plan_of(types[i], "/dev/sdx", NULL, &plan, &err), -EOPNOTSUPP);
		assert_non_null(strstr(err.text, types[i]));
		assert_non_null(strstr(err.text, "/dev/sdx"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		assert_int_equal(plan_of("ext4", "/dev/sdx", options[i], &plan, &err), -EOPNOTSUPP);
		assert_non_null(strstr(err.text, "/dev/sdx"));
	}
	assert_int_equal(plan_of("ext4", "relative", NULL, &plan, &err), -EINVAL);
	several[0] = mount_of("overlay", "overlay", NULL, 0);
	several[1] = mount_of("erofs", "/x", NULL, 0);
	assert_int_equal(task_disk_plan(several, 2, &plan, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "the only mount"));
}

/* An overlay of @n disks "/0", "/1", …: all erofs, but the first with @writable. */
static int plan_overlay(size_t n, bool writable, const char *const *options, struct task_disk_plan *plan,
			struct err *err)
{
	static const char *const sources[] = { "/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8" };
	struct task_mount mounts[10];
	size_t n_options = 0;

	for (size_t i = 0; i < n; i++)
		mounts[i] = mount_of(i == 0 && writable ? "ext4" : "erofs", sources[i], NULL, 0);
	while (options[n_options])
		n_options++;
	mounts[n] = mount_of("format/mkdir/overlay", "overlay", (char **)(uintptr_t)options, n_options);
	*err = (struct err)ERR_INIT;
	return task_disk_plan(mounts, n + 1, plan, err);
}

static void assert_layers(struct task_disk_plan *plan, const char *sources)
{
	assert_int_equal(plan->n, strlen(sources));
	for (size_t i = 0; i < plan->n; i++) {
		assert_int_equal(plan->list[i].source[1], sources[i]);
		assert_true(i == 0 || plan->list[i].flags & MS_RDONLY);
	}
	task_disk_plan_finish(plan);
}

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void layers_of_an_overlay_are_disks_the_topmost_first(void **state)
{
	struct task_disk_plan plan;
	struct err err;

	/* As the EROFS snapshotter has it with a writable disk. */
	assert_int_equal(plan_overlay(3, true, OPTIONS("X-containerd.mkdir.path={{ mount 0 }}/upper:0755",
						       "X-containerd.mkdir.path={{ mount 0 }}/work:0755",
						       "workdir={{ mount 0 }}/work", "upperdir={{ mount 0 }}/upper",
						       "lowerdir={{ overlay 1 2 }}"), &plan, &err), 1);
	assert_int_equal(plan.list[0].flags, 0);
	assert_layers(&plan, "012");
	assert_int_equal(plan_overlay(4, false, OPTIONS("lowerdir={{ overlay 3 0 }}"), &plan, &err), 1);
	assert_int_equal(plan.list[0].flags, MS_RDONLY);
	assert_layers(&plan, "3210");
	assert_int_equal(plan_overlay(4, false, OPTIONS("lowerdir={{mount 2}}:{{ overlay 0 1 }}:{{ mount 3 }}"), &plan,
				      &err), 1);
	assert_layers(&plan, "2013");
	assert_int_equal(plan_overlay(2, true, OPTIONS("upperdir={{ mount 0 }}/upper", "workdir={{ mount 0 }}/work",
						       "lowerdir={{ mount 1 }}"), &plan, &err), 1);
	assert_layers(&plan, "01");
	assert_int_equal(plan_overlay(8, false, OPTIONS("lowerdir={{ overlay 0 7 }}"), &plan, &err), 1);
	assert_layers(&plan, "01234567");
}

static void overlays_that_are_not_understood_are_refused(void **state)
{
	static const char *const wrong[][4] = {
		{ "lowerdir={{ overlay 0 3 }}" },	     /* there is no 3 */
		{ "lowerdir={{ overlay 0 1 }}" },	     /* and what of 2? */
		{ "lowerdir={{ mount 0 }}:{{ mount 1 }}:{{ mount 1 }}:{{ mount 2 }}" },
		{ "lowerdir={{ overlay 0 2 }}:/host" },
		{ "lowerdir={{ overlay 0 2 }}/folder" },
		{ "lowerdir=" },
		{ "lowerdir={{ overlay -1 2 }}" },
		{ "lowerdir={{ overlay 0 99999999999 }}" },
		{ "lowerdir={{ overlay 0 2" },
		{ "lowerdir={{ overlay 0 2 }}", "index=off" },
		{ "lowerdir={{ overlay 1 2 }}", "upperdir={{ mount 0 }}/upper" },
		{ "lowerdir={{ overlay 1 2 }}", "upperdir=/host/upper", "workdir=/host/work" },
		{ "lowerdir={{ overlay 1 2 }}", "upperdir={{ mount 0 }}/../x", "workdir={{ mount 0 }}/work" },
		{ "lowerdir={{ mount 2 }}", "upperdir={{ mount 0 }}/upper", "workdir={{ mount 1 }}/work" },
		{ "lowerdir={{ overlay 0 2 }}", "X-containerd.mkdir.path=/etc" },
		{ "upperdir={{ mount 0 }}/upper", "workdir={{ mount 0 }}/work" },
	};
	static const char *const good[] = { "lowerdir={{ overlay 0 8 }}", NULL };
	const char *const upper[] = { "upperdir={{ mount 1 }}/upper", "workdir={{ mount 1 }}/work",
				      "lowerdir={{ mount 0 }}", NULL };
	struct task_disk_plan plan;
	struct task_mount manager = mount_of("mkfs/ext4", "/x", NULL, 0);
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (plan_overlay(3, true, wrong[i], &plan, &err) != -EOPNOTSUPP)
			fail_msg("number %zu is no error: %s", i, err.text);
		assert_true(err.text[0]);
	}
	assert_int_equal(plan_overlay(9, false, good, &plan, &err), -E2BIG);
	/* An erofs cannot be written. */
	assert_int_equal(plan_overlay(2, true, upper, &plan, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "'/1'"));
	assert_int_equal(task_disk_plan(&manager, 1, &plan, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "mkfs/ext4"));
}

static void data_of_an_erofs_comes_behind_it_in_its_order(void **state)
{
	char *options[] = { (char *)"ro", (char *)"loop", (char *)"device=/b", (char *)"user_xattr", (char *)"device=/a" };
	char *lower[] = { (char *)"lowerdir={{ overlay 0 1 }}" };
	const struct task_mount mounts[] = { mount_of("erofs", "/top", NULL, 0), mount_of("erofs", "/meta", options, 5),
					     mount_of("format/mkdir/overlay", "overlay", lower, 1) };
	static const char *const sources[] = { "/top", "/meta", "/b", "/a" };
	struct task_disk_plan plan;
	struct err err = ERR_INIT;

	assert_int_equal(task_disk_plan(mounts, 3, &plan, &err), 1);
	assert_int_equal(plan.n, 4);
	for (size_t i = 0; i < plan.n; i++) {
		assert_string_equal(plan.list[i].source, sources[i]);
		assert_string_equal(plan.list[i].type, i < 2 ? "erofs" : "");
		assert_int_equal(plan.list[i].flags, MS_RDONLY);
	}
	assert_string_equal(plan.list[1].options, "user_xattr");
	task_disk_plan_finish(&plan);
	assert_int_equal(task_disk_plan(mounts + 1, 1, &plan, &err), 1);
	assert_int_equal(plan.n, 3);
	task_disk_plan_finish(&plan);
}

static void data_that_does_not_fit_or_is_nowhere_is_refused(void **state)
{
	char *many[9], *relative[] = { (char *)"device=a" };
	struct task_mount mount = mount_of("erofs", "/meta", many, 7);
	struct task_disk_plan plan;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (char *)(uintptr_t)"device=/data";
	assert_int_equal(task_disk_plan(&mount, 1, &plan, &err), 1);
	assert_int_equal(plan.n, TASK_DISKS_MAX);
	task_disk_plan_finish(&plan);
	mount.n_options = 8;
	assert_int_equal(task_disk_plan(&mount, 1, &plan, &err), -E2BIG);
	mount = mount_of("erofs", "/meta", relative, 1);
	assert_int_equal(task_disk_plan(&mount, 1, &plan, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'a'"));
}

static void what_containerd_is_to_do_is_refused_by_name(void **state)
{
	static const char *const types[] = { "mkfs/ext4", "mkfs/loop", "loop", "format/bind", "format/mkdir/bind",
					     "mkdir/overlay", "format/erofs" };
	static const char *const options[] = { "X-containerd.dmverity=/x.dmverity", "X-containerd.mkfs.size=100" };
	struct task_disk_plan plan;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(plan_of(types[i], "/x", NULL, &plan, &err), -EOPNOTSUPP);
		assert_non_null(strstr(err.text, types[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		assert_int_equal(plan_of(i ? "ext4" : "erofs", "/x", options[i], &plan, &err), -EOPNOTSUPP);
		assert_non_null(strstr(err.text, options[i]));
	}
}

/* ---- in a sandbox ---- */

/* A disk of its own for a name: valid until the next one of that name. */
static struct task_mount disk_named(struct world *w, const char *type, const char *name)
{
	static char paths[2][96];
	char *path = paths[strcmp(name, "image") != 0];

	snprintf(path, sizeof(paths[0]), "%s/%s", w->dir, name);
	assert_int_equal(io_replace_file(AT_FDCWD, path, "not looked into", 15, 0600), 0);
	return mount_of(type, path, NULL, 0);
}

static struct task_mount disk(struct world *w, const char *type)
{
	return disk_named(w, type, "image");
}

static void create_of(struct world *w, const char *id, const struct task_mount *mounts, size_t n, struct outcome *o)
{
	char bundle[160];
	struct task_config config = { .id = id, .bundle = bundle, .rootfs = mounts, .n_rootfs = n, .mount_ns = -EBADF,
				      .io = { .paths = { "", "", "" } } };

	*o = (struct outcome){ 0 };
	snprintf(bundle, sizeof(bundle), "%s/%s", w->dir, id);
	task_create(w->sandbox, &config, on_done, o);
}

/* The container c1 from these mounts, which must succeed. */
static void created_from(struct world *w, const struct task_mount *mounts, size_t n)
{
	struct outcome o;

	world_bundle(w, "c1", "sleep 1000", "");
	create_of(w, "c1", mounts, n, &o);
	WORLD_UNTIL(w, o.over);
	assert_int_equal(o.code, TTRPC_OK);
}

static void disk_is_in_before_the_agent_is_asked_and_out_before_delete_is_answered(void **state)
{
	struct world *w = *state;
	const struct task_mount mount = disk(w, "ext4");

	world_created(w, "other", "true");
	created_from(w, &mount, 1);
	assert_true(fake.disk.in);
	assert_string_equal(fake.disk.serial, fake.disk.id);
	assert_in_range(strlen(fake.disk.id), 1, 20);
	assert_string_equal(fake.disk.type, "ext4");
	assert_string_equal(fake.disk.options, "");
	assert_int_equal(fake.disk.flags, 0);
	assert_false(fake.disk.readonly);
	assert_true(fake.disk.writable);
	assert_string_equal(fake.last_create_rootfs, "");
	assert_int_equal(fake.disk.removed, 0);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(fake.disk.removed, 1);
}

static void read_only_disk_has_a_descriptor_that_cannot_write(void **state)
{
	struct world *w = *state;
	const struct task_mount mount = disk(w, "erofs");

	created_from(w, &mount, 1);
	assert_true(fake.disk.readonly);
	assert_false(fake.disk.writable);
	assert_int_equal(fake.disk.flags, MS_RDONLY);
}

static void all_layers_come_and_go(void **state)
{
	char *options[] = { (char *)"lowerdir={{ mount 0 }}", (char *)"upperdir={{ mount 1 }}/upper",
			    (char *)"workdir={{ mount 1 }}/work" };
	struct world *w = *state;
	const struct task_mount mounts[] = { disk_named(w, "erofs", "image"), disk_named(w, "ext4", "upper"),
					     mount_of("format/overlay", "overlay", options, 3) };

	world_created(w, "other", "true");
	created_from(w, mounts, ARRAY_SIZE(mounts));
	assert_int_equal(fake.disk.added, 2);
	assert_int_equal(fake.disk.told, 2);
	assert_true(fake.disk.in);
	/* The last one is the lowest. */
	assert_string_equal(fake.disk.type, "erofs");
	assert_true(fake.disk.readonly);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(fake.disk.removed, 2);
}

static void assert_refused(struct world *w, const struct task_mount *mount, const char *more, const char *text)
{
	static unsigned int n;
	struct outcome o;
	char id[16];

	snprintf(id, sizeof(id), "refused%u", n++);
	world_bundle(w, id, "true", more);
	create_of(w, id, mount, 1, &o);
	WORLD_UNTIL(w, o.over);
	assert_int_not_equal(o.code, TTRPC_OK);
	if (!strstr(o.text, text))
		fail_msg("'%s' is not in '%s'", text, o.text);
	assert_null(task_find(w->sandbox, id));
}

static void disk_that_cannot_be_opened_is_named(void **state)
{
	struct world *w = *state;
	struct task_mount mount = disk(w, "ext4");
	const char *path = mount.source;
	char fifo[96];

	mount.source = w->dir;
	assert_refused(w, &mount, "", w->dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo", w->dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	mount.source = fifo;
	assert_refused(w, &mount, "", "neither a file nor a block device");
	mount.source = "/no/such/disk";
	assert_refused(w, &mount, "", "'/no/such/disk'");
	mount.source = "/dev/null";
	assert_refused(w, &mount, "", "neither a file nor a block device");
	mount.source = path;
	assert_refused(w, &mount, ",\"hooks\":{\"createContainer\":[{\"path\":\"/bin/true\"}]}", "createContainer hooks");
	assert_int_equal(fake.disk.added, 0);
}

static void disk_that_the_vmm_refuses_fails_the_container(void **state)
{
	struct world *w = *state;
	const struct task_mount mount = disk(w, "ext4");

	fake.add_code = -EBUSY;
	assert_refused(w, &mount, "", "plug a disk in: fake refusal");
	fake.add_code = 0;
	assert_int_equal(fake.disk.removed, 0);
}

static void disk_goes_with_a_creation_that_fails_in_the_guest(void **state)
{
	struct world *w = *state;
	const struct task_mount mount = disk(w, "ext4");

	world_created(w, "other", "true");
	fake.create_error = "no such file system";
	assert_refused(w, &mount, "", "no such file system");
	fake.create_error = NULL;
	assert_int_equal(fake.disk.removed, 1);
}

static void disk_on_its_way_goes_with_a_creation_that_is_given_up(void **state)
{
	struct world *w = *state;
	const struct task_mount mount = disk(w, "ext4");
	struct outcome o;

	world_created(w, "other", "true");
	world_bundle(w, "c1", "true", "");
	create_of(w, "c1", &mount, 1, &o);
	while (!fake.disk.added)
		assert_true(loop_run_once(w->loop) >= 0);
	/* The VMM's answer comes in a later round. */
	assert_false(o.over);
	task_create_cancel(task_find(w->sandbox, "c1"));
	assert_true(o.over);
	assert_int_equal(o.code, TTRPC_CANCELED);
	WORLD_UNTIL(w, fake.disk.removed == 1);
}

static void disk_that_the_guest_keeps_does_not_hold_up_delete(void **state)
{
	struct world *w = *state;
	const struct task_mount mount = disk(w, "ext4");

	world_created(w, "other", "true");
	created_from(w, &mount, 1);
	fake.remove_code = -ETIMEDOUT;
	assert_int_equal(world_delete(w, "c1", ""), 0);
	fake.remove_code = 0;
	assert_int_equal(fake.disk.removed, 1);
}

static void vm_that_ends_takes_the_disk_along(void **state)
{
	struct world *w = *state;
	const struct task_mount mount = disk(w, "ext4");

	created_from(w, &mount, 1);
	assert_int_equal(world_start(w, "c1", ""), 0);
	kill(fake.vm->pid, SIGKILL);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(fake.disk.removed, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ext4_and_erofs_are_disks_and_erofs_is_read_only),
		cmocka_unit_test(options_are_told_apart),
		cmocka_unit_test(what_the_host_mounts_is_no_disk),
		cmocka_unit_test(what_the_guest_cannot_mount_is_refused_by_name),
		cmocka_unit_test(layers_of_an_overlay_are_disks_the_topmost_first),
		cmocka_unit_test(overlays_that_are_not_understood_are_refused),
		cmocka_unit_test(data_of_an_erofs_comes_behind_it_in_its_order),
		cmocka_unit_test(data_that_does_not_fit_or_is_nowhere_is_refused),
		cmocka_unit_test(what_containerd_is_to_do_is_refused_by_name),
		WORLD_CLAIM(disk_is_in_before_the_agent_is_asked_and_out_before_delete_is_answered),
		WORLD_CLAIM(read_only_disk_has_a_descriptor_that_cannot_write),
		WORLD_CLAIM(all_layers_come_and_go),
		WORLD_CLAIM(disk_that_cannot_be_opened_is_named),
		WORLD_CLAIM(disk_that_the_vmm_refuses_fails_the_container),
		WORLD_CLAIM(disk_goes_with_a_creation_that_fails_in_the_guest),
		WORLD_CLAIM(disk_on_its_way_goes_with_a_creation_that_is_given_up),
		WORLD_CLAIM(disk_that_the_guest_keeps_does_not_hold_up_delete),
		WORLD_CLAIM(vm_that_ends_takes_the_disk_along),
	};

	if (world_main_unshare() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
