/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/resolv.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESOLV_PATH "/etc/resolv.conf"
#define RESOLV_BLANKS " \t\r"

/* The mount that counts: a later one covers an earlier. */
static const struct oci_mount *find_mount(const struct oci_spec *spec)
{
	for (size_t i = spec->n_mounts; i-- > 0;) {
		const struct oci_mount *m = &spec->mounts[i];

		if (!strcmp(m->destination, RESOLV_PATH))
			return m->is_bind && m->source && m->source[0] ? m : NULL;
	}
	return NULL;
}

int resolv_open(const struct oci_spec *spec, const char *bundle)
{
	const struct oci_mount *m = find_mount(spec);
	_cleanup_free_ char *joined = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (!m)
		return -ENOENT;
	if (m->source[0] != '/' && asprintf(&joined, "%s/%s", bundle, m->source) < 0)
		return joined = NULL, -ENOMEM;
	fd = open(joined ? joined : m->source, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return TAKE_FD(fd);
}

/* "nameserver ADDRESS" at @line, up to its end; 0: something else. */
static uint32_t address_of_line(const char *line)
{
	static const char keyword[] = "nameserver";
	char text[INET_ADDRSTRLEN];
	struct in_addr address;
	size_t len;

	if (strncmp(line, keyword, sizeof(keyword) - 1) != 0)
		return 0;
	line += sizeof(keyword) - 1;
	if (!strspn(line, RESOLV_BLANKS))
		return 0;
	line += strspn(line, RESOLV_BLANKS);
	len = strcspn(line, RESOLV_BLANKS "\n#;");
	if (len >= sizeof(text))
		return 0;
	memcpy(text, line, len);
	text[len] = '\0';
	if (inet_pton(AF_INET, text, &address) != 1 || ntohl(address.s_addr) >> 24 != IN_LOOPBACKNET)
		return 0;
	return address.s_addr;
}

size_t resolv_loopback(const char *text, uint32_t *ret)
{
	size_t n = 0;

	while (text && n < RESOLV_SERVERS_MAX) {
		uint32_t address = address_of_line(text);
		bool known = false;

		for (size_t i = 0; i < n; i++)
			known = known || ret[i] == address;
		if (address && !known)
			ret[n++] = address;
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return n;
}

size_t resolv_loopback_of(int fd, uint32_t *ret)
{
	_cleanup_free_ char *text = malloc(RESOLV_BYTES_MAX + 1);
	ssize_t n = text ? pread(fd, text, RESOLV_BYTES_MAX, 0) : -1;

	if (n < 0 || n == RESOLV_BYTES_MAX)
		return 0;
	text[n] = '\0';
	return resolv_loopback(text, ret);
}
