/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compile.c - a list of system calls becomes a BPF program: run while onggi is built, with libseccomp
 *
 *   compile LIST NAME >FILE.c    FILE.c defines the struct filter NAME of hypervisor/filter/filter.h
 *
 * A line of LIST is empty, a comment, "default ACTION" (the first one), or a system call's name with what happens to it:
 *
 *   NAME [ACTION] [argN == VALUE | argN != VALUE | argN & MASK == VALUE]
 *
 * ACTION is ALLOW, the one if none is named, or an errno's name. A call whose arguments are others meets the default. Calls by
 * another ABI than this machine's (i386, x32) end the process.
 *
 * Ends with 1 and a message if a line is wrong: a name unknown to libseccomp is an error, not a hole.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/filter.h>

#define LINE_MAX_BYTES 256
/* The kernel takes no more (BPF_MAXINSNS). */
#define INSNS_MAX 4096

static const char *list;
static int line_number;
static char *rest; /* of the line */

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: ", list, line_number);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static const struct {
	const char *name;
	uint32_t action;
} actions[] = {
	{ "ALLOW", SCMP_ACT_ALLOW },
	{ "EPERM", SCMP_ACT_ERRNO(EPERM) },
	{ "ENOSYS", SCMP_ACT_ERRNO(ENOSYS) },
	{ "EAFNOSUPPORT", SCMP_ACT_ERRNO(EAFNOSUPPORT) },
};

static int find_action(const char *word, uint32_t *ret)
{
	for (size_t i = 0; word && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(word, actions[i].name) == 0)
			return *ret = actions[i].action, 1;
	return 0;
}

static unsigned long long number(const char *word)
{
	char *end;
	unsigned long long value;

	if (!word)
		fail("a number is missing");
	value = strtoull(word, &end, 0);
	if (*end || end == word)
		fail("'%s' is no number", word);
	return value;
}

/* "argN == V", "argN != V", "argN & M == V"; @word is the first of it. */
static struct scmp_arg_cmp comparison(const char *word)
{
	struct scmp_arg_cmp c = { 0 };
	const char *operation = strtok_r(NULL, " ", &rest);

	if (strncmp(word, "arg", 3) != 0 || word[3] < '0' || word[3] > '5' || word[4] || !operation)
		fail("'%s' is neither an action nor an argument to compare", word);
	c.arg = (unsigned int)(word[3] - '0');
	if (strcmp(operation, "&") == 0) {
		c.op = SCMP_CMP_MASKED_EQ;
		c.datum_a = number(strtok_r(NULL, " ", &rest));
		operation = strtok_r(NULL, " ", &rest);
		if (!operation || strcmp(operation, "==") != 0)
			fail("'==' is missing");
		c.datum_b = number(strtok_r(NULL, " ", &rest));
		return c;
	}
	if (strcmp(operation, "==") != 0 && strcmp(operation, "!=") != 0)
		fail("'%s' is no comparison", operation);
	c.op = *operation == '=' ? SCMP_CMP_EQ : SCMP_CMP_NE;
	c.datum_a = number(strtok_r(NULL, " ", &rest));
	return c;
}

static void add_rule(scmp_filter_ctx ctx, const char *name)
{
	int call = seccomp_syscall_resolve_name(name), r;
	uint32_t action = SCMP_ACT_ALLOW;
	const char *word = strtok_r(NULL, " ", &rest);
	struct scmp_arg_cmp c;

	if (call == __NR_SCMP_ERROR)
		fail("no system call '%s' is known", name);
	if (find_action(word, &action))
		word = strtok_r(NULL, " ", &rest);
	if (word) {
		c = comparison(word);
		r = seccomp_rule_add_exact_array(ctx, action, call, 1, &c);
	} else {
		r = seccomp_rule_add_exact_array(ctx, action, call, 0, NULL);
	}
	if (r < 0)
		fail("'%s': %s", name, strerror(-r));
	if (strtok_r(NULL, " ", &rest))
		fail("'%s': more than a rule", name);
}

static scmp_filter_ctx begin(void)
{
	scmp_filter_ctx ctx;
	uint32_t action;

	if (!find_action(strtok_r(NULL, " ", &rest), &action))
		fail("no such action");
	ctx = seccomp_init(action);
	/* A decision takes a search by halves instead of a walk along the list. */
	if (!ctx || seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		fail("libseccomp cannot make a filter");
	return ctx;
}

static void print_program(scmp_filter_ctx ctx, const char *name)
{
	static struct sock_filter insns[INSNS_MAX + 1];
	FILE *f = tmpfile();
	size_t n;

	if (!f || seccomp_export_bpf(ctx, fileno(f)) < 0)
		fail("libseccomp cannot export the filter");
	rewind(f);
	n = fread(insns, sizeof(insns[0]), INSNS_MAX + 1, f);
	if (n == 0 || n > INSNS_MAX)
		fail("%zu instructions are not 1 to %d", n, INSNS_MAX);
	printf("/* Made of %s by hypervisor/filter/compile.c. */\n#include \"hypervisor/filter/filter.h\"\n\n"
	       "static const struct sock_filter insns[] = {\n", list);
	for (size_t i = 0; i < n; i++)
		printf("\t{ 0x%02x, %u, %u, 0x%08x },\n", insns[i].code, insns[i].jt, insns[i].jf, insns[i].k);
	printf("};\n\nconst struct filter %s = { insns, sizeof(insns) / sizeof(insns[0]) };\n", name);
	fclose(f);
}

int main(int argc, char **argv)
{
	char line[LINE_MAX_BYTES], *word;
	scmp_filter_ctx ctx = NULL;
	FILE *f;

	if (argc != 3 || !(f = fopen(list = argv[1], "re"))) {
		fprintf(stderr, "usage: compile LIST NAME\n");
		return 1;
	}
	while (fgets(line, sizeof(line), f)) {
		line_number++;
		line[strcspn(line, "#\n")] = '\0';
		word = strtok_r(line, " ", &rest);
		if (!word)
			continue;
		if (!ctx && strcmp(word, "default") != 0)
			fail("the first line is 'default ACTION'");
		if (!ctx)
			ctx = begin();
		else
			add_rule(ctx, word);
	}
	if (!ctx)
		fail("no rule");
	print_program(ctx, argv[2]);
	seccomp_release(ctx);
	fclose(f);
	return 0;
}
