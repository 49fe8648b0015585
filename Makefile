# SPDX-License-Identifier: Apache-2.0
# onggi: `make help` lists the targets.

BUILD ?= build
CC ?= gcc
PREFIX ?= /usr/local
VERSION := 0.1.0
GIT_COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# ---- flags -------------------------------------------------------------------------------------

# $(call probe,FLAG): the flag if the compiler takes it.
probe = $(shell $(CC) $(1) -Werror -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef \
	-Wpointer-arith -Wwrite-strings -Wvla -Wno-unused-parameter -Wno-missing-field-initializers
HARDEN := $(foreach f,-fstack-protector-strong -fstack-clash-protection -fcf-protection \
	-ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr -fno-delete-null-pointer-checks \
	-fno-strict-overflow,$(call probe,$(f)))
# Functions and data that nobody calls are left out by the linker: it matters in the guest.
SECTIONS := -ffunction-sections -fdata-sections
OPT ?= -O2 -g
FORTIFY ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD)/gen -DONGGI_VERSION='"$(VERSION)"'
CFLAGS_ALL = -std=gnu17 $(OPT) $(FORTIFY) $(WARNINGS) $(HARDEN) $(SECTIONS) $(SANITIZE) $(CFLAGS)
LDFLAGS_ALL = -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(SANITIZE) $(LDFLAGS)

# ---- sources -----------------------------------------------------------------------------------

PROTOS := $(wildcard common/proto/*.proto)
PROTO_C := $(PROTOS:common/proto/%.proto=$(BUILD)/gen/common/proto/%.pb-c.c)
PROTO_H := $(PROTO_C:.c=.h)
PROTO_OBJ := $(PROTO_C:$(BUILD)/gen/%.c=$(BUILD)/obj/%.o)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))
COMMON_OBJ := $(call objects,common) $(PROTO_OBJ)
# The jail's filters: lists of system calls, compiled by a program of ours that runs while onggi is built.
FILTERS := $(patsubst hypervisor/filter/%.list,$(BUILD)/gen/hypervisor/filter/%.c,$(wildcard hypervisor/filter/*.list))
HYPERVISOR_OBJ := $(call objects,hypervisor) $(FILTERS:$(BUILD)/gen/%.c=$(BUILD)/obj/%.o)
NET_OBJ := $(call objects,net)
AGENT_OBJ := $(call objects,agent)
SHIM_OBJ := $(call objects,shim) $(call objects,shim/runtime) $(call objects,shim/containerd)

# Everything but the mains is linked into the unit tests.
AGENT_LIB_OBJ := $(filter-out $(BUILD)/obj/agent/main.o,$(AGENT_OBJ))
SHIM_LIB_OBJ := $(filter-out $(BUILD)/obj/shim/runtime/main.o $(BUILD)/obj/shim/containerd/main.o,$(SHIM_OBJ))

LIBS_COMMON := -ljson-c -levent_core -lprotobuf-c
LIBS_AGENT := -lseccomp -lcap $(LIBS_COMMON)
LIBS_HOST := -lcap $(LIBS_COMMON)

.DEFAULT_GOAL := all
.PHONY: all
all: $(BUILD)/onggi-runtime $(BUILD)/containerd-shim-onggi-v2 $(BUILD)/onggi-agent

$(BUILD)/gen/common/proto/%.pb-c.c $(BUILD)/gen/common/proto/%.pb-c.h: common/proto/%.proto
	@mkdir -p $(BUILD)/gen
	@protoc-c --c_out=$(BUILD)/gen $<

$(BUILD)/obj/common/proto/%.o: $(BUILD)/gen/common/proto/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -Wno-shadow -fPIE -MMD -MP -c $< -o $@

$(BUILD)/filter-compile: hypervisor/filter/compile.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) -std=gnu17 -O1 $(WARNINGS) -o $@ $< -lseccomp

$(BUILD)/gen/hypervisor/filter/%.c: hypervisor/filter/%.list $(BUILD)/filter-compile
	@mkdir -p $(@D)
	@$(BUILD)/filter-compile $< filter_$* >$@.new && mv $@.new $@

$(BUILD)/obj/hypervisor/filter/%.o: $(BUILD)/gen/hypervisor/filter/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -fPIE -MMD -MP -c $< -o $@

$(BUILD)/obj/%.o: %.c Makefile | $(PROTO_H)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -fPIE -MMD -MP -c $< -o $@

# Only these two know the commit, so that the others stay as they are from one commit to the next.
$(BUILD)/obj/shim/runtime/dispatch.o $(BUILD)/obj/shim/runtime/features.o: \
	CPPFLAGS += -DONGGI_COMMIT='"$(GIT_COMMIT)"'

$(BUILD)/obj/tests/asan_options.o: CPPFLAGS += -DSANITIZER_LOGS='"$(abspath $(BUILD))/logs"'

$(BUILD)/libcommon.a: $(COMMON_OBJ)
$(BUILD)/libhypervisor.a: $(HYPERVISOR_OBJ)
$(BUILD)/libnet.a: $(NET_OBJ)
$(BUILD)/libagent.a: $(AGENT_LIB_OBJ)
$(BUILD)/libshim.a: $(SHIM_LIB_OBJ)
$(BUILD)/lib%.a:
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/onggi-runtime: $(BUILD)/obj/shim/runtime/main.o $(SANITIZER_OBJ) $(BUILD)/libshim.a $(BUILD)/libhypervisor.a $(BUILD)/libnet.a $(BUILD)/libcommon.a
	@echo "  LD      $@"
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ $(LIBS_HOST)

$(BUILD)/containerd-shim-onggi-v2: $(BUILD)/obj/shim/containerd/main.o $(BUILD)/libshim.a $(BUILD)/libhypervisor.a $(BUILD)/libnet.a $(BUILD)/libcommon.a
	@echo "  LD      $@"
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ $(LIBS_HOST)

$(BUILD)/onggi-agent: $(BUILD)/obj/agent/main.o $(BUILD)/libagent.a $(BUILD)/libcommon.a
	@echo "  LD      $@"
	@$(CC) $(CFLAGS_ALL) -static-pie $(LDFLAGS_ALL) -o $@ $^ $(LIBS_AGENT)

# ---- unit tests --------------------------------------------------------------------------------

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libshim.a $(BUILD)/libagent.a $(BUILD)/libhypervisor.a $(BUILD)/libnet.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS_AGENT)

# Examples of what stands alone: with no more libraries than that takes.
EXAMPLES := $(patsubst docs/examples/%.c,$(BUILD)/examples/%,$(wildcard docs/examples/*.c))

$(BUILD)/examples/%: $(BUILD)/obj/docs/examples/%.o $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ -levent_core -lprotobuf-c

.PHONY: unit-tests examples
examples: $(EXAMPLES) ## the ttrpc client and server of docs/ttrpc.md
unit-tests: $(UNIT_TESTS) $(EXAMPLES)


# ---- guest: kernels and initramfs ----------------------------------------------------------------

GUEST := $(BUILD)/guest

# What is made here is for QEMU to read, which is another user: whatever the builder's umask.
OTHERS_READ := umask 022 &&

# The guest has no use for symbols, and every byte of the initramfs is memory of every guest.
$(GUEST)/onggi-agent: $(BUILD)/onggi-agent
	@mkdir -p $(@D)
	@strip --strip-all -o $@ $<

$(GUEST)/initramfs.cpio: $(GUEST)/onggi-agent guest-kernel/initramfs.sh
	@$(OTHERS_READ) guest-kernel/initramfs.sh $< $@

$(GUEST)/distro/initramfs.cpio: $(GUEST)/onggi-agent $(GUEST)/distro/.complete guest-kernel/initramfs.sh
	@$(OTHERS_READ) guest-kernel/initramfs.sh $< $@ $(GUEST)/distro/modules

$(GUEST)/distro/.complete: guest-kernel/distro.sh guest-kernel/fetch-distro.sh
	@mkdir -p $(GUEST)
	@$(OTHERS_READ) guest-kernel/fetch-distro.sh $(GUEST) && chmod -R go+rX $(GUEST)/distro
	@touch $@

.PHONY: guest guest-kernel guest-distro
guest: $(GUEST)/initramfs.cpio ## the initramfs: the agent as its only program
guest-kernel: deps-kernel ## build our own guest kernel (about 10 minutes once, then from a cache)
	@mkdir -p $(GUEST)
	@$(OTHERS_READ) guest-kernel/build.sh $(GUEST) && chmod go+r $(GUEST)/vmlinux
guest-distro: $(GUEST)/distro/initramfs.cpio ## fetch Debian's cloud kernel for the guest

# ---- what people type ------------------------------------------------------------------------------

.PHONY: deps help run test lint check-asan fuzz install uninstall clean images
help: ## this list
	@echo "make            build build/onggi-runtime, build/containerd-shim-onggi-v2 and build/onggi-agent"
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/make \1~\2/' | \
		awk -F'~' '{ printf "%-20s%s\n", $$1, $$2 }'

# As many jobs as there are processors, unless the caller has said how many.
SUBMAKE = $(MAKE) -s --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

deps: ## install what is missing from Debian's packages
	@.ci/install-packages

.PHONY: deps-kernel deps-test deps-engines
deps-kernel:
	@.ci/install-packages packages packages-kernel
deps-test:
	@.ci/install-packages packages packages-kernel packages-test
deps-engines:
	@.ci/install-packages packages packages-kernel packages-test packages-engines

images: deps
	@tests/images/make-images $(BUILD)/images all

# Recursive, so that packages are there before the compiler is asked for anything.
run: deps ## build everything and run two containers in microVMs
	@$(SUBMAKE) all guest
	@$(SUBMAKE) images
	@tests/demo $(BUILD)

test: deps-engines ## build and run every test; the last line counts them
	@$(SUBMAKE) all guest guest-kernel guest-distro unit-tests fuzz-replay $(BUILD)/tests/probe \
		$(BUILD)/tests/agent_driver $(BUILD)/tests/hostile.cpio
	@$(SUBMAKE) images engine-images
	@tests/run-all $(BUILD)

test-engines: deps-engines ## podman, docker, buildah, docker-compose and containerd (with its CRI plugin) with onggi, part of make test
	@$(SUBMAKE) all guest guest-kernel examples $(BUILD)/tests/probe
	@$(SUBMAKE) engine-images
	@tests/run-all $(BUILD) engines

.PHONY: test-engines engine-images
engine-images: images
	@tests/images/make-images $(BUILD)/images nginx

$(BUILD)/tests/probe: tests/vm/probe.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu17 -O2 -Wall -static -o $@ $<

$(BUILD)/tests/agent_driver: $(BUILD)/obj/tests/vm/agent_driver.o $(BUILD)/libagent.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS_AGENT)

# In the agent's place, for tests of what a guest that was taken over can do (tests/vm/test_hostile.py).
HOSTILE_OBJ := $(call objects,tests/vm)
HOSTILE_OBJ := $(filter %/hostile_agent.o %/hostile_share.o %/hostile_fuse.o,$(HOSTILE_OBJ))

$(BUILD)/tests/hostile_agent: $(HOSTILE_OBJ) $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -static-pie $(LDFLAGS_ALL) -o $@ $^ $(LIBS_COMMON)

$(BUILD)/tests/hostile.cpio: $(BUILD)/tests/hostile_agent guest-kernel/initramfs.sh
	@$(OTHERS_READ) guest-kernel/initramfs.sh $< $@

# ---- fuzzing -----------------------------------------------------------------------------------------

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 60

$(BUILD)/tests/fuzz-replay/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay_main.o $(BUILD)/libshim.a $(BUILD)/libagent.a $(BUILD)/libhypervisor.a $(BUILD)/libnet.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ $(LIBS_AGENT)

.PHONY: fuzz-replay fuzz-build
fuzz-replay: $(FUZZERS:%=$(BUILD)/tests/fuzz-replay/%)

# The harnesses again, with libFuzzer, in a build folder of their own.
fuzz: deps-test ## fuzz each parser for FUZZ_SECONDS (60) with libFuzzer
	@$(SUBMAKE) BUILD=$(BUILD)/fuzz CC=clang FORTIFY= OPT="-O1 -g" \
		SANITIZE="-fsanitize=address,undefined -fsanitize=fuzzer-no-link" fuzz-build
	@tests/fuzz/run $(BUILD)/fuzz/tests/fuzz $(FUZZ_SECONDS)

$(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/libshim.a $(BUILD)/libagent.a $(BUILD)/libhypervisor.a $(BUILD)/libnet.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer $(LDFLAGS_ALL) -o $@ $^ $(LIBS_AGENT)

fuzz-build: $(FUZZERS:%=$(BUILD)/tests/fuzz/%)

# ---- checks ------------------------------------------------------------------------------------------

lint: deps-test ## include rules, lengths, headers, static analysis
	@$(SUBMAKE) $(PROTO_H)
	tests/lint/includes.sh
	tests/lint/shape.sh
	BUILD=$(BUILD) tests/lint/headers.sh
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr \
		--suppress=memleak --suppress=resourceLeak --suppress=redundantInitialization --suppress=normalCheckLevelMaxBranches \
		--suppress=uninitvar --suppress=nullPointerRedundantCheck --suppress=AssignmentAddressToInteger \
		--suppress=comparePointers --suppress=arrayIndexThenCheck --suppress='*:$(BUILD)/*' -D_GNU_SOURCE -I. common agent hypervisor net shim

check-asan: deps-test ## unit tests, corpora and VM tests with the host's programs under ASan and UBSan
	@$(SUBMAKE) all guest guest-kernel guest-distro images $(BUILD)/tests/probe $(BUILD)/tests/hostile.cpio
	@$(SUBMAKE) BUILD=$(BUILD)/asan OPT="-O1 -g" FORTIFY= \
		SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined" \
		SANITIZER_OBJ=$(BUILD)/asan/obj/tests/asan_options.o unit-tests fuzz-replay $(BUILD)/asan/onggi-runtime
	@tests/run-all $(BUILD)/asan unit fuzz
	@tests/asan-vm $(BUILD)

# ---- measuring -----------------------------------------------------------------------------------------

BENCH_ROUNDS ?= 10
.PHONY: bench
bench: deps-test ## measure everything beside crun, runc and runsc, and write docs/performance.md
	@.ci/install-packages packages-engines packages-bench
	@$(SUBMAKE) all guest guest-kernel $(BUILD)/tests/probe
	@$(SUBMAKE) images
	@ONGGI_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/run.py --rounds $(BENCH_ROUNDS) \
		--page docs/performance.md --json $(BUILD)/performance.json

# ---- installing --------------------------------------------------------------------------------------

LIBDIR := $(DESTDIR)$(PREFIX)/lib/onggi
install: ## install under DESTDIR and PREFIX (/usr/local)
	@$(SUBMAKE) all guest
	install -D -m 0755 -s $(BUILD)/onggi-runtime $(DESTDIR)$(PREFIX)/bin/onggi-runtime
	install -D -m 0755 -s $(BUILD)/containerd-shim-onggi-v2 $(DESTDIR)$(PREFIX)/bin/containerd-shim-onggi-v2
	install -D -m 0444 $(GUEST)/initramfs.cpio $(LIBDIR)/initramfs.cpio
	@if [ -f $(GUEST)/vmlinux ]; then echo "install vmlinux"; install -D -m 0444 $(GUEST)/vmlinux $(LIBDIR)/vmlinux; \
	else echo "note: our own guest kernel is not built; run 'make guest-kernel' and install again, or name another by \"kernel\" in the configuration"; fi
	install -D -m 0644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/onggi/LICENSE

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/onggi-runtime $(DESTDIR)$(PREFIX)/bin/containerd-shim-onggi-v2 $(DESTDIR)$(PREFIX)/share/doc/onggi/LICENSE
	rm -rf $(LIBDIR)
	-rmdir $(DESTDIR)$(PREFIX)/share/doc/onggi 2>/dev/null

clean: ## remove the build folder (caches outside of the checkout stay)
	rm -rf $(BUILD)

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
