/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cgroup_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"

char *cgroup_stats_text(int fd, const char *file)
{
	char *text = NULL;

	return io_read_file(fd, file, CGROUP_STATS_BYTES_MAX, &text, NULL) < 0 ? NULL : text;
}

uint64_t cgroup_stats_number(int fd, const char *file, uint64_t missing)
{
	_cleanup_free_ char *text = cgroup_stats_text(fd, file);
	uint64_t value;

	if (!text)
		return missing;
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "max") == 0)
		return UINT64_MAX;
	return io_parse_u64(text, UINT64_MAX, &value) < 0 ? missing : value;
}

size_t cgroup_stats_counters(char *text, Onggi__Agent__V1__Counter out[CGROUP_STATS_MAX])
{
	size_t n = 0;
	char *line;

	while (n < CGROUP_STATS_MAX && (line = strsep(&text, "\n"))) {
		char *key = strsep(&line, " ");
		uint64_t value;

		if (!line || !*key || io_parse_u64(line, UINT64_MAX, &value) < 0)
			continue;
		onggi__agent__v1__counter__init(&out[n]);
		out[n].key = key;
		out[n++].value = value;
	}
	return n;
}

static void io_word(const char *word, Onggi__Agent__V1__IoStat *io)
{
	const struct {
		const char *key;
		uint64_t *value;
	} words[] = {
		{ "rbytes=", &io->read_bytes },
		{ "wbytes=", &io->written_bytes },
		{ "rios=", &io->reads },
		{ "wios=", &io->writes },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = strlen(words[i].key);

		if (strncmp(word, words[i].key, len) == 0)
			(void)io_parse_u64(word + len, UINT64_MAX, words[i].value);
	}
}

size_t cgroup_stats_io(char *text, Onggi__Agent__V1__IoStat out[CGROUP_STATS_MAX])
{
	size_t n = 0;
	char *line;

	while (n < CGROUP_STATS_MAX && (line = strsep(&text, "\n"))) {
		Onggi__Agent__V1__IoStat io = ONGGI__AGENT__V1__IO_STAT__INIT;
		char *word = strsep(&line, " ");

		if (!line || sscanf(word, "%u:%u", &io.major, &io.minor) != 2)
			continue;
		while ((word = strsep(&line, " ")))
			io_word(word, &io);
		out[n++] = io;
	}
	return n;
}
