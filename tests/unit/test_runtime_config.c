/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "shim/config.h"
#include "tests/unit/check_leaks.h"

static char path[64];
static struct err error;

static int load(const char *text, struct config **ret)
{
	error = (struct err)ERR_INIT;
	assert_int_equal(io_replace_file(AT_FDCWD, path, text, strlen(text), 0600), 0);
	return config_load(path, ret, &error);
}

static void empty_object_gives_the_defaults(void **state)
{
	_cleanup_(config_free_p) struct config *c = NULL;

	assert_int_equal(load("{}", &c), 0);
	assert_string_equal(c->path, path);
	assert_string_equal(c->accel, "kvm");
	assert_string_equal(c->driver, "qemu");
	assert_string_equal(c->vmm, "/usr/bin/qemu-system-x86_64");
	assert_non_null(c->kernel);
	assert_non_null(c->initrd);
	assert_null(c->file_server);
	assert_int_equal(c->memory_mib, 256);
	assert_int_equal(c->vcpus, 1);
	assert_int_equal(c->boot_timeout_ms, 30000);
	assert_false(c->debug);
	/* The host's kernel does not read a guest's rings unless somebody wants it to. */
	assert_false(c->vhost_net);
}

static void every_key_is_read(void **state)
{
	_cleanup_(config_free_p) struct config *c = NULL;

	assert_int_equal(
		load("{\"accel\":\"tcg\",\"driver\":\"qemu\",\"vmm\":\"/v\",\"kernel\":\"/k\",\"initrd\":\"/i\","
		     "\"file_server\":\"/f\",\"memory_mib\":512,\"vcpus\":2,\"boot_timeout_s\":5,\"vhost_net\":true,\"debug\":true}",
		     &c),
		0);
	assert_string_equal(c->accel, "tcg");
	assert_string_equal(c->vmm, "/v");
	assert_string_equal(c->kernel, "/k");
	assert_string_equal(c->initrd, "/i");
	assert_string_equal(c->file_server, "/f");
	assert_int_equal(c->memory_mib, 512);
	assert_int_equal(c->vcpus, 2);
	assert_int_equal(c->boot_timeout_ms, 5000);
	assert_true(c->debug);
	assert_true(c->vhost_net);
}

static void error_names_file_key_and_what_would_be_right(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "{\"kernal\":\"/k\"}", "unknown key 'kernal'" },
		{ "{\"accel\":\"xen\"}", "want one of \"kvm\", \"auto\", \"tcg\"" },
		{ "{\"accel\":7}", "accel" },
		{ "{\"accel\":null}", "got null" },
		{ "{\"vcpus\":0}", "from 1 to 64" },
		{ "{\"vcpus\":65}", "vcpus" },
		{ "{\"memory_mib\":63}", "from 64 to 1048576" },
		{ "{\"memory_mib\":\"512\"}", "memory_mib" },
		{ "{\"boot_timeout_s\":601}", "boot_timeout_s" },
		{ "{\"debug\":1}", "debug" },
		{ "{\"kernel\":\"vmlinux\"}", "absolute path" },
		{ "[]", "want an object" },
	};
	struct config *c = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(load(cases[i].text, &c), -EINVAL);
		if (!strstr(error.text, cases[i].want) || !strstr(error.text, path))
			fail_msg("%s: '%s'", cases[i].text, error.text);
		assert_null(c);
	}
}

static void broken_json_is_refused(void **state)
{
	struct config *c = NULL;

	assert_int_equal(load("{\"accel\":", &c), -EBADMSG);
	assert_int_equal(load("", &c), -EBADMSG);
}

static void file_over_64k_is_refused(void **state)
{
	_cleanup_free_ char *text = malloc(CONFIG_BYTES_MAX + 2);
	struct config *c = NULL;

	memset(text, ' ', CONFIG_BYTES_MAX + 1);
	text[CONFIG_BYTES_MAX + 1] = '\0';
	assert_int_equal(load(text, &c), -EFBIG);
}

static void named_file_must_exist(void **state)
{
	struct config *c = NULL;

	assert_int_equal(config_load("/nonexistent/onggi.json", &c, &error), -ENOENT);
	setenv("ONGGI_CONFIG", "/nonexistent/other.json", 1);
	assert_int_equal(config_load(NULL, &c, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/other.json"));
	unsetenv("ONGGI_CONFIG");
}

static void missing_kernel_is_an_error_with_a_remedy(void **state)
{
	_cleanup_(config_free_p) struct config *c = NULL;

	assert_int_equal(load("{\"kernel\":\"/nonexistent/k\",\"initrd\":\"/proc/self/exe\"}", &c),
			 0);
	assert_int_equal(config_check_guest(c, &error), -ENOENT);
	assert_non_null(strstr(error.text, "make guest-kernel"));
	/* Engines would take strerror's words for a missing command. */
	assert_null(strcasestr(error.text, "no such file"));
}

/* ---- annotations ---- */

/* A container with the annotation @key, and a configuration that allows @allowed. */
static int annotate(const char *settings, const char *key, const char *value, struct config **ret)
{
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"annotations\":{\"%s\":\"%s\"}}", key, value);
	assert_int_equal(load(settings, ret), 0);
	assert_int_equal(oci_spec_parse(text, strlen(text), &spec, &error), 0);
	return config_annotate(*ret, spec, &error);
}

static void no_annotation_changes_anything_by_default(void **state)
{
	static const char *const keys[] = { "memory_mib", "vcpus",  "template", "vmm",	 "kernel", "initrd", "file_server",
					    "accel",	  "driver", "debug",	"vhost_net", "annotations", "path", "",	 "x" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		_cleanup_(config_free_p) struct config *c = NULL;
		char key[64];

		snprintf(key, sizeof(key), "io.onggi.%s", keys[i]);
		assert_int_equal(annotate("{}", key, "64", &c), -EPERM);
		assert_non_null(strstr(error.text, key));
		assert_non_null(strstr(error.text, "\"annotations\""));
		assert_int_equal(c->memory_mib, 256);
	}
}

static void allowed_annotations_change_their_key_and_no_other(void **state)
{
	_cleanup_(config_free_p) struct config *memory = NULL, *word = NULL, *cpus = NULL, *other = NULL;
	static const char all[] = "{\"annotations\":[\"memory_mib\",\"vcpus\",\"template\"]}";

	assert_int_equal(annotate("{\"annotations\":[\"memory_mib\"]}", "io.onggi.memory_mib", "512", &memory), 0);
	assert_int_equal(memory->memory_mib, 512);
	assert_int_equal(annotate(all, "io.onggi.template", "off", &word), 0);
	assert_string_equal(word->template, "off");
	assert_int_equal(annotate(all, "io.onggi.vcpus", "2", &cpus), 0);
	assert_int_equal(cpus->vcpus, 2);
	assert_int_equal(annotate("{\"annotations\":[\"memory_mib\"]}", "io.onggi.vcpus", "2", &other), -EPERM);
}

static void annotations_of_others_mean_nothing(void **state)
{
	_cleanup_(config_free_p) struct config *c = NULL;

	assert_int_equal(annotate("{}", "io.katacontainers.config.hypervisor.path", "/x", &c), 0);
}

static void annotated_values_are_checked(void **state)
{
	static const struct {
		const char *settings, *key, *value;
	} cases[] = {
		{ "{\"annotations\":[\"memory_mib\"]}", "io.onggi.memory_mib", "63" },
		{ "{\"annotations\":[\"memory_mib\"]}", "io.onggi.memory_mib", "8193" },
		{ "{\"annotations\":[\"memory_mib\"]}", "io.onggi.memory_mib", "-1" },
		{ "{\"annotations\":[\"memory_mib\"]}", "io.onggi.memory_mib", "512 " },
		{ "{\"annotations\":[\"memory_mib\"]}", "io.onggi.memory_mib", "512,share=on" },
		{ "{\"annotations\":[\"memory_mib\"]}", "io.onggi.memory_mib", "" },
		{ "{\"annotations\":[\"memory_mib\"],\"memory_max_mib\":300}", "io.onggi.memory_mib", "301" },
		{ "{\"annotations\":[\"vcpus\"]}", "io.onggi.vcpus", "0" },
		{ "{\"annotations\":[\"vcpus\"]}", "io.onggi.vcpus", "18446744073709551617" },
		{ "{\"annotations\":[\"vcpus\"],\"vcpus_max\":2}", "io.onggi.vcpus", "3" },
		{ "{\"annotations\":[\"template\"]}", "io.onggi.template", "/etc/passwd" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(config_free_p) struct config *c = NULL;

		assert_int_equal(annotate(cases[i].settings, cases[i].key, cases[i].value, &c), -EINVAL);
		assert_non_null(strstr(error.text, cases[i].key));
		assert_int_equal(c->memory_mib, 256);
		assert_int_equal(c->vcpus, 1);
	}
}

/* Whatever an administrator writes: no path, program or switch for debugging comes from a tenant. */
static void what_is_no_number_or_closed_list_cannot_be_allowed(void **state)
{
	static const char *const keys[] = { "vmm", "kernel", "initrd", "file_server", "template_dir", "driver", "accel",
					    "debug", "vhost_net", "memory_max_mib", "annotations", "nonsense", "" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct config *c = NULL;
		char text[64];

		snprintf(text, sizeof(text), "{\"annotations\":[\"%s\"]}", keys[i]);
		assert_int_equal(load(text, &c), -EINVAL);
		assert_non_null(strstr(error.text, "memory_mib, vcpus, template"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(empty_object_gives_the_defaults),
		leak_checked(every_key_is_read),
		leak_checked(error_names_file_key_and_what_would_be_right),
		leak_checked(broken_json_is_refused),
		leak_checked(file_over_64k_is_refused),
		leak_checked(named_file_must_exist),
		leak_checked(missing_kernel_is_an_error_with_a_remedy),
		leak_checked(no_annotation_changes_anything_by_default),
		leak_checked(allowed_annotations_change_their_key_and_no_other),
		leak_checked(annotations_of_others_mean_nothing),
		leak_checked(annotated_values_are_checked),
		leak_checked(what_is_no_number_or_closed_list_cannot_be_allowed),
	};
	int fd, r;

	strcpy(path, "/tmp/onggi-config-XXXXXX");
	fd = mkstemp(path);
	close(fd);
	unsetenv("ONGGI_CONFIG");
	r = cmocka_run_group_tests_name("runtime_config", tests, NULL, NULL);
	unlink(path);
	return r;
}
