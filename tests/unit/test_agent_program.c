/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/capability.h"
#include "agent/program.h"
#include "agent/user.h"
#include "tests/unit/agent_world.h"

static struct world world;
static char *env[] = { (char[]){ "PATH=/nowhere:rel:/bin::/sbin" }, NULL };
static char found[PATH_MAX];

/* In a child whose root is the world's. */
static int inside(const char *name, char *const *environment, struct err *err)
{
	return program_find(name, environment, found, err);
}

static void program_is_found_in_path_order(void **state)
{
	assert_int_equal(inside("tool", env, NULL), 0);
	assert_string_equal(found, "/bin/tool");
	assert_int_equal(inside("only", env, NULL), 0);
	assert_string_equal(found, "/sbin/only");
}

static void last_path_counts(void **state)
{
	char *twice[] = { env[0], (char[]){ "PATH=/sbin" }, NULL };

	assert_int_equal(inside("tool", twice, NULL), 0);
	assert_string_equal(found, "/sbin/tool");
}

static void missing_name_is_not_found_in_path(void **state)
{
	char *none[] = { NULL };
	struct err err = ERR_INIT;

	assert_int_equal(inside("foo", env, &err), -ENOENT);
	assert_string_equal(err.text, "exec: \"foo\": executable file not found in $PATH");
	assert_int_equal(inside("tool", none, &err), -ENOENT);
	assert_int_equal(inside("", env, &err), -ENOENT);
	/* A folder and a file without x bits are no programs. */
	assert_int_equal(inside("folder", env, &err), -ENOENT);
	assert_int_equal(inside("data", env, &err), -ENOENT);
}

static void path_is_taken_as_it_stands(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(inside("/sbin/tool", env, &err), 0);
	assert_string_equal(found, "/sbin/tool");
	assert_int_equal(inside("./bin/tool", env, &err), 0);
	assert_string_equal(found, "./bin/tool");
}

static void reasons_are_in_runcs_words(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(inside("/bin/x", env, &err), -ENOENT);
	assert_string_equal(err.text, "exec: \"/bin/x\": stat /bin/x: no such file or directory");
	assert_int_equal(inside("/bin/folder", env, &err), -EACCES);
	assert_string_equal(err.text, "exec: \"/bin/folder\": is a directory: permission denied");
	assert_int_equal(inside("/bin/data", env, &err), -EACCES);
	assert_string_equal(err.text, "exec: \"/bin/data\": permission denied");
	assert_int_equal(inside("/bin/tool/x", env, &err), -ENOENT);
	assert_int_equal(program_exec_error("/bin/x", -ENOEXEC, &err), -ENOEXEC);
	assert_string_equal(err.text, "exec /bin/x: exec format error");
	assert_int_equal(program_exec_error("/bin/x", -EPERM, &err), -EACCES);
}

static void overlong_path_entries_are_passed_over(void **state)
{
	static char path[3 * PATH_MAX] = "PATH=";
	char *list[] = { path, NULL };

	memset(path + 5, 'a', 2 * PATH_MAX);
	strcpy(path + 5 + 2 * PATH_MAX, ":/bin");
	assert_int_equal(inside("tool", list, NULL), 0);
	assert_string_equal(found, "/bin/tool");
}

static void working_folder_stays_in_the_root(void **state)
{
	struct err err = ERR_INIT;
	char where[PATH_MAX];

	assert_int_equal(program_enter_cwd(world.fd, "/up/../../../bin", &err), 0);
	assert_non_null(getcwd(where, sizeof(where)));
	assert_string_equal(where, "/bin");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(program_enter_cwd(world.fd, "/none", &err), -ENOENT);
	assert_string_equal(err.text, "chdir to cwd (\"/none\") set in config.json failed: "
				      "no such file or directory");
	assert_int_equal(program_enter_cwd(world.fd, "/bin/tool", &err), -ENOTDIR);
	assert_int_equal(program_enter_cwd(world.fd, "/proc/self/fd/0", &err), -ELOOP);
}

static void folder_outside_of_the_root_is_noticed(void **state)
{
	struct err err = ERR_INIT;
	int outside = open_tree(AT_FDCWD, "/bin", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	/* A folder that no path from our root leads to. */
	assert_true(outside >= 0);
	assert_int_equal(program_enter_cwd(outside, "/", &err), -EPERM);
	assert_non_null(strstr(err.text, "outside of container"));
	assert_int_equal(chdir("/"), 0);
	close(outside);
}

/* ---- user ------------------------------------------------------------------------------------ */

static void home_is_that_of_the_uid(void **state)
{
	const char *passwd = "root:x:0:0:root:/root:/bin/sh\nbad\n:::\nu:x:10:1::/home/u:/bin/sh\n"
			     "v:x:11:1::relative:/bin/sh\nw:x:010:1::/w:/bin/sh\nlast:x:12:1::/last";
	char home[USER_HOME_MAX];

	user_home_parse(passwd, 0, home);
	assert_string_equal(home, "/root");
	user_home_parse(passwd, 10, home);
	assert_string_equal(home, "/home/u");
	user_home_parse(passwd, 11, home);
	assert_string_equal(home, "/");
	user_home_parse(passwd, 12, home);
	assert_string_equal(home, "/last");
	user_home_parse(passwd, 99, home);
	assert_string_equal(home, "/");
	user_home_parse("", 0, home);
	assert_string_equal(home, "/");
}

static void passwd_that_is_no_file_gives_no_home(void **state)
{
	char home[USER_HOME_MAX];

	world_write(&world, "etc/real", "u:x:10:1::/home/u:/bin/sh\n");
	world_link(&world, "../../etc/real", "etc/passwd");
	user_home(world.fd, 10, home);
	assert_string_equal(home, "/home/u");
	assert_int_equal(unlinkat(world.fd, "etc/passwd", 0), 0);
	assert_int_equal(mkfifoat(world.fd, "etc/passwd", 0644), 0);
	user_home(world.fd, 10, home);
	assert_string_equal(home, "/");
	assert_int_equal(unlinkat(world.fd, "etc/passwd", 0), 0);
	world_mkdir(&world, "etc/passwd");
	user_home(world.fd, 10, home);
	assert_string_equal(home, "/");
	assert_int_equal(unlinkat(world.fd, "etc/passwd", AT_REMOVEDIR), 0);
}

static void passwd_over_the_limit_gives_no_home(void **state)
{
	char home[USER_HOME_MAX];

	world_write(&world, "etc/passwd", "u:x:10:1::/home/u:/bin/sh\n");
	assert_int_equal(truncate("/etc/passwd", USER_PASSWD_MAX + 1), 0);
	user_home(world.fd, 10, home);
	assert_string_equal(home, "/");
}

static void ids_over_int32_are_refused(void **state)
{
	uint32_t groups[] = { 1, UINT32_C(1) << 31 };
	struct err err = ERR_INIT;

	assert_int_equal(user_check(&(struct oci_user){ .uid = INT32_MAX }, &err), 0);
	assert_int_equal(user_check(&(struct oci_user){ .uid = UINT32_C(1) << 31 }, &err), -EINVAL);
	assert_int_equal(user_check(&(struct oci_user){ .gid = UINT32_MAX }, &err), -EINVAL);
	assert_int_equal(user_check(&(struct oci_user){ .additional_gids = groups, .n_additional_gids = 2 },
				    &err), -EINVAL);
	assert_non_null(strstr(err.text, "additionalGids"));
}

/* ---- capabilities ---------------------------------------------------------------------------- */

static void absent_capabilities_are_empty_sets(void **state)
{
	struct capability_sets sets = capability_plan(&(struct oci_capabilities){ .bounding = 7 }, ~UINT64_C(0));

	assert_int_equal(sets.bounding | sets.effective | sets.permitted | sets.inheritable | sets.ambient, 0);
}

static void sets_are_cut_to_what_is_possible(void **state)
{
	const struct oci_capabilities spec = { .present = true, .bounding = 0xff, .permitted = 0x0f,
					       .effective = 0x1f, .inheritable = 0x03, .ambient = 0x07 };
	struct capability_sets sets = capability_plan(&spec, 0x3e);

	assert_int_equal(sets.bounding, 0x3e);
	assert_int_equal(sets.permitted, 0x0e);
	assert_int_equal(sets.effective, 0x0e);
	assert_int_equal(sets.inheritable, 0x02);
	assert_int_equal(sets.ambient, 0x02);
}

static int enter(void **state)
{
	world_enter(&world);
	world_mkdir(&world, "bin/folder");
	world_mkdir(&world, "sbin");
	world_mkdir(&world, "etc");
	world_mkdir(&world, "proc");
	world_write(&world, "bin/tool", "");
	world_write(&world, "bin/data", "");
	world_write(&world, "sbin/tool", "");
	world_write(&world, "sbin/only", "");
	world_link(&world, "/bin", "up");
	assert_int_equal(fchmodat(world.fd, "bin/data", 0644, 0), 0);
	assert_int_equal(fchdir(world.fd), 0);
	assert_int_equal(mount("proc", "proc", "proc", 0, NULL), 0);
	/* Back out of it in the end: the descriptor of the old root stays. */
	*state = (void *)(intptr_t)open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chroot("."), 0);
	return 0;
}

static int leave(void **state)
{
	assert_int_equal(fchdir((int)(intptr_t)*state), 0);
	assert_int_equal(chroot("."), 0);
	close((int)(intptr_t)*state);
	world_leave(&world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program_is_found_in_path_order),
		cmocka_unit_test(last_path_counts),
		cmocka_unit_test(missing_name_is_not_found_in_path),
		cmocka_unit_test(path_is_taken_as_it_stands),
		cmocka_unit_test(reasons_are_in_runcs_words),
		cmocka_unit_test(overlong_path_entries_are_passed_over),
		cmocka_unit_test(working_folder_stays_in_the_root),
		cmocka_unit_test(folder_outside_of_the_root_is_noticed),
		cmocka_unit_test(home_is_that_of_the_uid),
		cmocka_unit_test(passwd_that_is_no_file_gives_no_home),
		cmocka_unit_test(passwd_over_the_limit_gives_no_home),
		cmocka_unit_test(ids_over_int32_are_refused),
		cmocka_unit_test(absent_capabilities_are_empty_sets),
		cmocka_unit_test(sets_are_cut_to_what_is_possible),
	};

	return cmocka_run_group_tests_name("agent program and user", tests, enter, leave);
}
