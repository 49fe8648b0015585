/* SPDX-License-Identifier: Apache-2.0 */
/* What the QMP client tells its callers of a VMM that breaks the protocol, falls silent or goes. */
#include "tests/unit/qmp_rig.h"

/* ---- claims: a VMM that breaks the protocol ---- */

static void malformed_greeting_ends_the_connection(void **state)
{
	static const char *const greetings[] = {
		"{\"return\": {}, \"id\": 1}\n", "{\"event\": \"E\"}\n", "{\"QMP\": 1}\n", "{}\n",
		"[]\n", "QMP\n", "{\"QMP\": {}} {}\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(greetings); i++) {
		struct rig r;

		rig_start(&r);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		say(&r, "%s", greetings[i]);
		assert_lost(&r, -EPROTO, "line");
		assert_int_equal(r.done_when_lost, 1);
		assert_int_equal(r.code, -EPROTO);
		assert_int_equal(r.n_events, 0);
		rig_stop(&r);
	}
}

static void refused_negotiation_ends_the_connection(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	say(&r, GREETING);
	hear(&r, "qmp_capabilities");
	say(&r, "{\"id\": %llu, \"error\": {\"desc\": \"no\"}}\n", (unsigned long long)r.id);
	assert_lost(&r, -EPROTO, "negotiate");
	assert_int_equal(r.code, -EPROTO);
	rig_stop(&r);
}

static void broken_lines_end_the_connection(void **state)
{
	static const struct {
		const char *line, *words;
	} cases[] = {
		{ "nonsense\n", "no JSON object" },
		{ "[1]\n", "no JSON object" },
		{ "{\"a\": 1}\n", "neither answer nor event" },
		{ "{\"event\": 7}\n", "neither answer nor event" },
		{ "{\"return\": {}}\n", "malformed answer" },
		{ "{\"return\": {}, \"id\": \"2\"}\n", "malformed answer" },
		{ "{\"error\": \"x\", \"id\": 2}\n", "malformed answer" },
		{ "{\"return\": {}, \"id\": 77}\n", "not asked" },
		{ "{\"return\": {}, \"id\": 0}\n", "not asked" },
		{ "{\"return\": {}, \"id\": -1}\n", "not asked" },
		{ "{\"return\": {}, \"id\": 18446744073709551616}\n", "no JSON object" },
		{ GREETING, "neither answer nor event" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig r;

		rig_ready(&r);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		assert_int_equal(execute(&r, "cont", LONG_MS), 0);
		hear(&r, "stop");
		say(&r, "%s", cases[i].line);
		assert_lost(&r, -EPROTO, cases[i].words);
		assert_int_equal(r.done_when_lost, 2);
		assert_int_equal(r.code, -EPROTO);
		assert_string_equal(r.message, r.lost_message);
		rig_stop(&r);
	}
}

static void answer_to_nothing_ends_the_connection(void **state)
{
	struct rig r;

	rig_ready(&r);
	answer(&r);
	assert_lost(&r, -EPROTO, "not asked");
	rig_stop(&r);
}

/* An event whose line has @len bytes without the newline, or is never ended. */
static void say_long_event(struct rig *r, size_t len, bool end)
{
	static const char start[] = "{\"event\": \"E\", \"data\": \"", finish[] = "\"}";
	char *line = malloc(len + 1);

	assert_non_null(line);
	memset(line, 'x', len);
	memcpy(line, start, sizeof(start) - 1);
	memcpy(line + len - (sizeof(finish) - 1), finish, sizeof(finish) - 1);
	line[len] = '\n';
	say_bytes(r, line, end ? len + 1 : len);
	free(line);
}

static void line_at_the_limit_is_taken(void **state)
{
	struct rig r;

	rig_ready(&r);
	say_long_event(&r, QMP_LINE_MAX, true);
	rig_run_until(&r, &r.n_events, 1);
	settle(&r);
	assert_int_equal(r.n_lost, 0);
	rig_stop(&r);
}

static void line_over_the_limit_ends_the_connection(void **state)
{
	for (int end = 0; end < 2; end++) {
		struct rig r;

		rig_ready(&r);
		say_long_event(&r, QMP_LINE_MAX + 1, end);
		assert_lost(&r, -EPROTO, "too long");
		assert_int_equal(r.n_events, 0);
		rig_stop(&r);
	}
}

static void lines_may_come_byte_by_byte_and_blank(void **state)
{
	static const char text[] = "\n\r\n" GREETING "\n";
	struct rig r;

	rig_start(&r);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		say_bytes(&r, &text[i], 1);
		loop_run_once(r.loop);
	}
	hear(&r, "qmp_capabilities");
	answer(&r);
	settle(&r);
	assert_int_equal(r.n_lost, 0);
	rig_stop(&r);
}

/* ---- claims: the end of the connection, and time ---- */

static void peer_that_closes_fails_all_commands_then_says_lost(void **state)
{
	struct rig r;

	rig_ready(&r);
	for (int i = 0; i < 3; i++)
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	hear(&r, "stop");
	say(&r, "{\"return\": {}, \"id\": "); /* half a line is none */
	close(TAKE_FD(r.peer));
	assert_lost(&r, -EPIPE, "closed");
	assert_int_equal(r.done_when_lost, 3);
	assert_int_equal(r.n_done, 3);
	assert_int_equal(r.code, -EPIPE);
	rig_stop(&r);
	assert_int_equal(r.n_done, 3);
	assert_int_equal(r.n_lost, 1);
}

static void silent_vmm_times_out_before_and_within_negotiation(void **state)
{
	for (int greets = 0; greets < 2; greets++) {
		struct rig r;

		rig_start(&r);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		if (greets) {
			say(&r, GREETING);
			hear(&r, "qmp_capabilities");
			settle(&r);
		}
		advance(QMP_NEGOTIATE_MS);
		assert_lost(&r, -ETIMEDOUT, "negotiate");
		assert_int_equal(r.done_when_lost, 1);
		assert_int_equal(r.code, -ETIMEDOUT);
		rig_stop(&r);
	}
}

static void late_answer_is_ignored_and_the_next_command_works(void **state)
{
	uint64_t late;
	struct rig r;

	rig_ready(&r);
	assert_int_equal(execute(&r, "slow", 20), 0);
	hear(&r, "slow");
	late = r.id;
	advance(20);
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.code, -ETIMEDOUT);
	assert_int_equal(execute(&r, "next", LONG_MS), 0);
	hear(&r, "next");
	say(&r, "{\"return\": {}, \"id\": %llu}\n", (unsigned long long)late);
	settle(&r);
	assert_int_equal(r.n_done, 1);
	answer(&r);
	rig_run_until(&r, &r.n_done, 2);
	assert_int_equal(r.code, 0);
	/* But once only. */
	say(&r, "{\"return\": {}, \"id\": %llu}\n", (unsigned long long)late);
	assert_lost(&r, -EPROTO, "not asked");
	rig_stop(&r);
}

static void vmm_that_answers_nothing_is_given_up(void **state)
{
	struct rig r;

	rig_ready(&r);
	for (unsigned int i = 0; i < QMP_STALE_MAX + 2; i++)
		assert_int_equal(execute(&r, "stop", 5), 0);
	/* Each has its own time, after the one before it. */
	while (!r.n_lost) {
		advance(5);
		loop_run_once(r.loop);
	}
	assert_lost(&r, -ETIMEDOUT, "does not respond");
	assert_int_equal(r.done_when_lost, QMP_STALE_MAX + 2);
	assert_int_equal(r.code, -ETIMEDOUT);
	rig_stop(&r);
}

static void vmm_that_reads_nothing_is_given_up(void **state)
{
	struct json *arguments = json_new_object();
	char text[60001];
	struct rig r;

	rig_start_small(&r, 4096, true);
	negotiate(&r);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(json_set(arguments, "t", json_new_string(text)), 0);
	assert_int_equal(execute_with(&r, "big", arguments, -1, 20), 0);
	settle(&r);
	advance(20);
	assert_lost(&r, -ETIMEDOUT, "does not respond");
	assert_int_equal(r.code, -ETIMEDOUT);
	rig_stop(&r);
}

static void destroy_cancels_what_waits(void **state)
{
	struct rig r;

	rig_ready(&r);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	hear(&r, "stop");
	rig_stop(&r);
	assert_int_equal(r.n_done, 2);
	assert_int_equal(r.code, -ECANCELED);
	assert_int_equal(r.n_lost, 0);
	qmp_destroy(NULL);
}

static void destroy_is_allowed_inside_done(void **state)
{
	for (int closes = 0; closes < 2; closes++) {
		struct rig r;

		rig_ready(&r);
		r.destroy_in = IN_DONE;
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		hear(&r, "stop");
		if (closes)
			close(TAKE_FD(r.peer));
		else
			answer(&r);
		rig_run_until(&r, &r.n_done, 2);
		assert_int_equal(r.code, -ECANCELED);
		assert_int_equal(r.n_lost, 0);
		rig_stop(&r);
	}
}

static void destroy_is_allowed_inside_an_event_and_inside_lost(void **state)
{
	struct rig r;

	rig_ready(&r);
	r.destroy_in = IN_EVENT;
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	say_events(&r, 3);
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.n_events, 1);
	assert_int_equal(r.code, -ECANCELED);
	rig_stop(&r);

	rig_start(&r);
	r.destroy_in = IN_LOST;
	say(&r, "x\nx\n");
	rig_run_until(&r, &r.n_lost, 1);
	assert_null(r.qmp);
	rig_stop(&r);
	assert_int_equal(r.n_lost, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(malformed_greeting_ends_the_connection),
		leak_checked(refused_negotiation_ends_the_connection),
		leak_checked(broken_lines_end_the_connection),
		leak_checked(answer_to_nothing_ends_the_connection),
		leak_checked(line_at_the_limit_is_taken),
		leak_checked(line_over_the_limit_ends_the_connection),
		leak_checked(lines_may_come_byte_by_byte_and_blank),
		leak_checked(peer_that_closes_fails_all_commands_then_says_lost),
		leak_checked(silent_vmm_times_out_before_and_within_negotiation),
		leak_checked(late_answer_is_ignored_and_the_next_command_works),
		leak_checked(vmm_that_answers_nothing_is_given_up),
		leak_checked(vmm_that_reads_nothing_is_given_up),
		leak_checked(destroy_cancels_what_waits),
		leak_checked(destroy_is_allowed_inside_done),
		leak_checked(destroy_is_allowed_inside_an_event_and_inside_lost),
	};

	return cmocka_run_group_tests_name("qmp peer", tests, NULL, NULL);
}
