/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz harness over the files and folders given, without libFuzzer: how "make test" replays
 * a corpus. Ends with the number of inputs; none at all is a failure.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"

#define INPUT_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t n_inputs;

static void replay_file(const char *path)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_free_ uint8_t *exact = NULL;
	size_t len;
	int r = io_read_file(AT_FDCWD, path, INPUT_MAX, &data, &len);

	if (r < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
		exit(1);
	}
	/* Without the NUL behind it, so that a sanitizer sees one byte too many being read. */
	exact = malloc(len ? len : 1);
	if (!exact)
		abort();
	memcpy(exact, data, len);
	fprintf(stderr, "%s\n", path); /* the last one is the culprit of a crash */
	LLVMFuzzerTestOneInput(exact, len);
	n_inputs++;
}

static void replay(const char *path)
{
	_cleanup_closedir_ DIR *dir = opendir(path);
	struct dirent *entry;
	char child[4096];

	if (!dir) {
		replay_file(path);
		return;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		replay(child);
	}
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%zu inputs\n", n_inputs);
	return n_inputs > 0 ? 0 : 1;
}
