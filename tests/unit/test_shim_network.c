/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a namespace's interfaces when VM or agent fail, lie or are slow. The kernel is the real one. */
#include "tests/unit/shim_world.h"

#include "shim/sandbox_network.h"

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("'%s' failed", command);
}

static bool tells(const char *command)
{
	return system(command) == 0;
}

#define NO_TAP "! ip -o link | grep -q onggi"
#define NO_QUEUE "! tc qdisc show | grep -q ingress"

static int setup(void **state)
{
	struct world *w;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	run("ip link set lo up && ip link add eth0 type veth peer name peer0 && ip link set peer0 addrgenmode none && "
	    "ip link set eth0 addrgenmode none && ip link set eth0 address 02:00:00:00:09:02 && "
	    "ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up");
	world_setup_bare(state);
	w = *state;
	w->network = true;
	return 0;
}

/* With a sandbox whose VM begins to boot, and a container in it. */
static int setup_created(void **state)
{
	struct world *w;

	if (setup(state) < 0)
		return -1;
	w = *state;
	world_start_sandbox(w);
	world_created(w, "c1", "sleep 100");
	return 0;
}

static int teardown(void **state)
{
	int r = world_teardown(state);

	assert_true(tells(NO_TAP));
	assert_true(tells(NO_QUEUE));
	return r;
}

static void start_waits_for_the_network_and_finds_it_told(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_equal(fake.cards_added, 1);
	assert_int_equal(fake.network_updates, 1);
	assert_int_equal(fake.n_interfaces, 1);
	assert_string_equal(fake.last_address, "10.9.0.2");
	assert_string_equal(fake.vm->devices[0].mac, "02:00:00:00:09:02");
	assert_true(tells("ip -o link | grep -q onggi"));
}

static void nothing_to_be_told_costs_nothing(void **state)
{
	struct world *w = *state;

	run("ip link del eth0");
	world_start_sandbox(w);
	world_running(w, "c1", "sleep 100");
	assert_int_equal(fake.cards_added, 0);
	assert_int_equal(fake.network_updates, 0);
}

/* The first one has ended with its failed start; another is told to the same guest, or a new one. */
static void start_another(struct world *w)
{
	world_running(w, "c2", "sleep 100");
}

static void what_the_agent_refuses_fails_the_start_and_is_tried_again(void **state)
{
	struct world *w = *state;

	fake.network_error = "route 0:\001 no";
	run("ip route add 10.77.0.0/16 dev eth0");
	assert_int_not_equal(world_start(w, "c1", ""), 0);
	assert_non_null(strstr(w->err.text, "network: in the guest: route 0:? no"));
	fake.network_error = NULL;
	start_another(w);
	assert_int_equal(fake.n_routes, 1);
}

static void what_the_vmm_refuses_fails_the_start(void **state)
{
	struct world *w = *state;

	fake.add_code = -EREMOTEIO;
	world_start_sandbox(w);
	world_created(w, "c1", "sleep 100");
	assert_int_not_equal(world_start(w, "c1", ""), 0);
	assert_non_null(strstr(w->err.text,
			       "network: interface 'eth0': plug the network card: fake refusal"));
	assert_int_equal(fake.network_updates, 0);
	fake.add_code = 0;
	start_another(w);
}

static void a_vm_that_dies_while_the_network_is_told_ends_the_wait(void **state)
{
	struct world *w = *state;

	fake.hold_network = fake.die_when_held = true;
	run("ip addr add 10.9.0.3/24 dev eth0");
	assert_int_not_equal(world_start(w, "c1", ""), 0);
	WORLD_UNTIL(w, !fake.vm);
	WORLD_UNTIL(w, tells(NO_TAP));
	assert_true(tells(NO_QUEUE));
}

static void changes_are_followed_one_request_at_a_time(void **state)
{
	struct world *w = *state;
	unsigned int before;

	assert_int_equal(world_start(w, "c1", ""), 0);
	before = fake.network_updates;
	fake.hold_network = true;
	run("ip route add 10.77.0.0/16 dev eth0");
	WORLD_UNTIL(w, fake.network_updates == before + 1);
	run("ip route add 10.78.0.0/16 dev eth0");
	world_run_for(w, 200);
	assert_int_equal(fake.network_updates, before + 1);
	fake.hold_network = false;
	ttrpc_call_fail(fake.vm->held[--fake.vm->n_held], TTRPC_INTERNAL, "stale");
	WORLD_UNTIL(w, fake.network_updates == before + 2 && fake.n_routes == 2);
	/* Nothing changes: nothing is asked. */
	run("ip link set peer0 up && ip link set peer0 down");
	world_run_for(w, 200);
	before = fake.network_updates;
	world_run_for(w, 100);
	assert_int_equal(fake.network_updates, before);
}

static void an_interface_that_goes_takes_its_card_along(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_start(w, "c1", ""), 0);
	run("ip link del eth0");
	WORLD_UNTIL(w, fake.cards_removed == 1 && fake.n_interfaces == 0);
	WORLD_UNTIL(w, tells(NO_TAP));
}

static void a_card_that_the_guest_keeps_stays_and_blocks_its_address(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_start(w, "c1", ""), 0);
	fake.remove_code = -ETIMEDOUT;
	run("ip link del eth0");
	WORLD_UNTIL(w, fake.cards_removed == 1);
	world_run_for(w, 50);
	/* The VMM holds the tap: it must not be taken away under it. */
	assert_true(tells("ip -o link | grep -q onggi"));
	run("ip link add eth0 type veth peer name peer0 && ip link set eth0 address 02:00:00:00:09:02 && ip link set eth0 up");
	world_created(w, "c2", "sleep 100");
	assert_int_not_equal(world_start(w, "c2", ""), 0);
	assert_non_null(strstr(w->err.text, "the guest keeps a former card"));
}

static void an_interface_of_the_same_address_waits_until_the_former_card_is_out(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_start(w, "c1", ""), 0);
	fake.hold_network = true;
	run("ip link del eth0");
	WORLD_UNTIL(w, fake.n_interfaces == 0 && fake.vm->n_held == 1);
	run("ip link add eth0 type veth peer name peer0 && ip link set eth0 address 02:00:00:00:09:02 && ip link set eth0 up");
	world_run_for(w, 100);
	assert_int_equal(fake.cards_added, 1);
	fake.hold_network = false;
	ttrpc_call_reply(fake.vm->held[--fake.vm->n_held], &fake_empty.base);
	WORLD_UNTIL(w, fake.cards_added == 2 && fake.n_interfaces == 1);
	assert_int_equal(fake.cards_removed, 1);
}

static void an_end_while_everything_is_under_way_leaves_nothing(void **state)
{
	struct world *w = *state;

	/* The card is just being plugged: the teardown looks for the rest. */
	world_start_sandbox(w);
	assert_true(fake.vm->devices[0].timer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_created, teardown)
#define BARE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(start_waits_for_the_network_and_finds_it_told),
		BARE_TEST(nothing_to_be_told_costs_nothing),
		TEST(what_the_agent_refuses_fails_the_start_and_is_tried_again),
		BARE_TEST(what_the_vmm_refuses_fails_the_start),
		TEST(a_vm_that_dies_while_the_network_is_told_ends_the_wait),
		TEST(changes_are_followed_one_request_at_a_time),
		TEST(an_interface_that_goes_takes_its_card_along),
		TEST(a_card_that_the_guest_keeps_stays_and_blocks_its_address),
		TEST(an_interface_of_the_same_address_waits_until_the_former_card_is_out),
		BARE_TEST(an_end_while_everything_is_under_way_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
