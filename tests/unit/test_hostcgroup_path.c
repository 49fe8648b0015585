/* SPDX-License-Identifier: Apache-2.0 */
/* What linux.cgroupsPath means, and which hierarchies a machine has: from texts alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shim/hostcgroup_mounts.h"
#include "shim/hostcgroup_path.h"
#include "shim/state.h"

struct good {
	const char *text;
	bool systemd;
	const char *root, *path, *unit, *slice;
	bool relative;
};

static const struct good goods[] = {
	{ "/docker/abc", false, STATE_ROOT_DEFAULT, "/docker/abc" },
	{ "//a/./b///c/", false, STATE_ROOT_DEFAULT, "/a/b/c" },
	{ "a/b", false, STATE_ROOT_DEFAULT, "/a/b", .relative = true },
	{ NULL, false, STATE_ROOT_DEFAULT, "/onggi/id" },
	{ "", false, "/run/elsewhere", "/onggi/id@caac1f6c" },
	{ "a:b:c", false, STATE_ROOT_DEFAULT, "/a:b:c", .relative = true },
	{ "machine.slice:libpod:abc", true, STATE_ROOT_DEFAULT, "/machine.slice/libpod-abc.scope",
	  "libpod-abc.scope", "machine.slice" },
	{ "kube-pod-x.slice:cri:abc", true, STATE_ROOT_DEFAULT,
	  "/kube.slice/kube-pod.slice/kube-pod-x.slice/cri-abc.scope", "cri-abc.scope",
	  "kube-pod-x.slice" },
	{ "-.slice::abc", true, STATE_ROOT_DEFAULT, "/abc.scope", "abc.scope", "-.slice" },
	{ ":p:abc", true, STATE_ROOT_DEFAULT, "/system.slice/p-abc.scope", "p-abc.scope",
	  "system.slice" },
	{ NULL, true, STATE_ROOT_DEFAULT, "/system.slice/onggi-id.scope", "onggi-id.scope",
	  "system.slice" },
};

static void assert_same_text(const char *got, const char *want)
{
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void every_form_of_a_path_is_understood(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(goods); i++) {
		const struct good *g = &goods[i];
		struct hostcgroup_path p = { 0 };
		struct err err = ERR_INIT;

		if (hostcgroup_path_parse(g->text, g->systemd, "id", g->root, &p, &err) < 0)
			fail_msg("%s: %s", g->text, err.text);
		assert_same_text(p.path, g->path);
		assert_same_text(p.unit, g->unit);
		assert_same_text(p.slice, g->slice);
		assert_int_equal(p.relative, g->relative);
		hostcgroup_path_finish(&p);
	}
}

static void wrong_paths_are_refused_with_the_reason(void **state)
{
	static const struct {
		const char *text;
		bool systemd;
		const char *words;
		int code;
	} bad[] = {
		{ "/a/../b", false, "'..' is not allowed", -EINVAL },
		{ "..", false, "'..' is not allowed", -EINVAL },
		{ "/", false, "top of the hierarchy", -EINVAL },
		{ "./.", false, "top of the hierarchy", -EINVAL },
		{ "/a\nb", false, "control character", -EINVAL },
		{ "/a/b", true, "slice:prefix:name", -EINVAL },
		{ "a.slice:b", true, "slice:prefix:name", -EINVAL },
		{ "a.slice:b:c:d", true, "slice:prefix:name", -EINVAL },
		{ "a.slice:b:", true, "slice:prefix:name", -EINVAL },
		{ "a:b:c", true, "no name of a slice", -EINVAL },
		{ "-a.slice:b:c", true, "no name of a slice", -EINVAL },
		{ "a-.slice:b:c", true, "no name of a slice", -EINVAL },
		{ "a--b.slice:b:c", true, "no name of a slice", -EINVAL },
		{ "../a.slice:b:c", true, "no name of a slice", -EINVAL },
		{ ".slice:b:c", true, "no name of a slice", -EINVAL },
		{ "a.slice:b/../x:c", true, "no name of a unit", -EINVAL },
		{ "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/"
		  "31/32/33",
		  false, "there are over 32", -ENAMETOOLONG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct hostcgroup_path p = { 0 };
		struct err err = ERR_INIT;

		assert_int_equal(hostcgroup_path_parse(bad[i].text, bad[i].systemd, "id",
						       STATE_ROOT_DEFAULT, &p, &err),
				 bad[i].code);
		if (!strstr(err.text, bad[i].words))
			fail_msg("%s: %s", bad[i].text, err.text);
		assert_null(p.path);
	}
}

static void long_paths_are_refused(void **state)
{
	char text[HOSTCGROUP_PATH_MAX + 2];
	struct hostcgroup_path p = { 0 };

	memset(text, 'a', sizeof(text));
	text[256] = '\0';
	assert_int_equal(hostcgroup_path_parse(text, false, "id", "/", &p, NULL), -ENAMETOOLONG);
	text[255] = '\0';
	assert_int_equal(hostcgroup_path_parse(text, false, "id", "/", &p, NULL), 0);
	hostcgroup_path_finish(&p);
	text[256] = text[255] = 'a';
	for (size_t i = 0; i < sizeof(text); i += 128)
		text[i] = '/';
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(hostcgroup_path_parse(text, false, "id", "/", &p, NULL), -ENAMETOOLONG);
}

/* ---- hierarchies ---- */

#define TMPFS "30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
#define MEMORY "31 30 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
#define CPU "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,seclabel,cpu,cpuacct\n"
#define SYSTEMD "33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup none rw,xattr,name=systemd\n"
#define UNIFIED "34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static const struct hostcgroup_mount *find(const struct hostcgroup_mounts *m, const char *controllers)
{
	for (size_t i = 0; i < m->n; i++) {
		if (!strcmp(m->list[i].controllers, controllers))
			return &m->list[i];
	}
	fail_msg("no hierarchy '%s'", controllers);
	return NULL;
}

static void hybrid_hierarchies_are_found_with_our_own_cgroups(void **state)
{
	struct hostcgroup_mounts m = { 0 };

	assert_int_equal(hostcgroup_mounts_parse(TMPFS MEMORY CPU SYSTEMD UNIFIED,
						 "4:memory:/user/a b\n3:cpuacct,cpu:/\n"
						 "2:name=systemd:/init.scope\n0::/x\n",
						 &m),
			 0);
	assert_int_equal(m.n, 4);
	assert_false(m.unified);
	assert_string_equal(find(&m, "memory")->mount, "/sys/fs/cgroup/memory");
	assert_string_equal(find(&m, "memory")->own, "/user/a b");
	assert_string_equal(find(&m, "cpu,cpuacct")->own, "/");
	assert_string_equal(find(&m, "name=systemd")->own, "/init.scope");
	assert_string_equal(find(&m, "")->own, "/x");
	hostcgroup_mounts_finish(&m);
}

static void version_2_alone_holds_the_controllers(void **state)
{
	static const char *const texts[] = {
		"30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
		TMPFS SYSTEMD UNIFIED, /* a name is no controller */
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct hostcgroup_mounts m = { 0 };

		assert_int_equal(hostcgroup_mounts_parse(texts[i], "0::/a\n", &m), 0);
		assert_true(m.unified);
		assert_string_equal(find(&m, "")->own, "/a");
		hostcgroup_mounts_finish(&m);
	}
}

static void the_usual_place_and_the_latest_mount_win(void **state)
{
	struct hostcgroup_mounts m = { 0 };

	assert_int_equal(
		hostcgroup_mounts_parse(
			"40 20 0:27 / /elsewhere/mem\\040ory rw - cgroup cgroup rw,memory\n" MEMORY
			"41 20 0:27 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
			"42 20 0:31 / /elsewhere/pi\\040ds rw - cgroup cgroup rw,pids\n",
			"1:memory:/docker/x/y\n2:pids:/../outside\n", &m),
		0);
	assert_int_equal(m.n, 2);
	assert_string_equal(find(&m, "memory")->mount, "/sys/fs/cgroup/memory");
	assert_string_equal(find(&m, "memory")->own, "/y");
	assert_string_equal(find(&m, "pids")->mount, "/elsewhere/pi ds");
	assert_string_equal(find(&m, "pids")->own, "/");
	hostcgroup_mounts_finish(&m);
}

static void broken_lines_and_a_machine_without_cgroups_are_no_errors(void **state)
{
	struct hostcgroup_mounts m = { 0 };

	assert_int_equal(hostcgroup_mounts_parse("", "", &m), 0);
	assert_int_equal(m.n, 0);
	assert_false(m.unified);
	assert_int_equal(hostcgroup_mounts_parse("\n - cgroup\nx - cgroup2\n1 2 3 4\n5 6 7:8 / rel - "
						 "cgroup c rw,memory\n - - \n",
						 ":\n::\n0:\n", &m),
			 0);
	assert_int_equal(m.n, 0);
}

static void too_many_hierarchies_are_refused(void **state)
{
	char text[64 * (HOSTCGROUP_HIERARCHIES_MAX + 1)] = "";
	struct hostcgroup_mounts m = { 0 };
	size_t used = 0;

	for (int i = 0; i <= HOSTCGROUP_HIERARCHIES_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "1 2 0:%d / /c/%d rw - cgroup c rw,name=n%d\n", i, i, i);
	assert_int_equal(hostcgroup_mounts_parse(text, "", &m), -E2BIG);
}

static void controllers_are_compared_whole(void **state)
{
	assert_true(hostcgroup_has_controller("cpu,cpuacct", "cpu"));
	assert_true(hostcgroup_has_controller("cpu,cpuacct", "cpuacct"));
	assert_false(hostcgroup_has_controller("cpuacct", "cpu"));
	assert_false(hostcgroup_has_controller("", "cpu"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_path_is_understood),
		cmocka_unit_test(wrong_paths_are_refused_with_the_reason),
		cmocka_unit_test(long_paths_are_refused),
		cmocka_unit_test(hybrid_hierarchies_are_found_with_our_own_cgroups),
		cmocka_unit_test(version_2_alone_holds_the_controllers),
		cmocka_unit_test(the_usual_place_and_the_latest_mount_win),
		cmocka_unit_test(broken_lines_and_a_machine_without_cgroups_are_no_errors),
		cmocka_unit_test(too_many_hierarchies_are_refused),
		cmocka_unit_test(controllers_are_compared_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
