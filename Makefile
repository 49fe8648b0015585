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
OPT ?= -O2 -g
FORTIFY ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD)/gen -DONGGI_VERSION='"$(VERSION)"' -DONGGI_COMMIT='"$(GIT_COMMIT)"' \
	-DONGGI_PREFIX='"$(PREFIX)"'
CFLAGS_ALL = -std=gnu17 $(OPT) $(FORTIFY) $(WARNINGS) $(HARDEN) $(SANITIZE) $(CFLAGS)
LDFLAGS_ALL = -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(SANITIZE) $(LDFLAGS)

# ---- sources -----------------------------------------------------------------------------------

PROTOS := $(wildcard common/proto/*.proto)
PROTO_C := $(PROTOS:common/proto/%.proto=$(BUILD)/gen/common/proto/%.pb-c.c)
PROTO_H := $(PROTO_C:.c=.h)
PROTO_OBJ := $(PROTO_C:$(BUILD)/gen/%.c=$(BUILD)/obj/%.o)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))
COMMON_OBJ := $(call objects,common) $(PROTO_OBJ)
HYPERVISOR_OBJ := $(call objects,hypervisor)
AGENT_OBJ := $(call objects,agent)
SHIM_OBJ := $(call objects,shim) $(call objects,shim/runtime)

# Everything but the mains is linked into the unit tests.
AGENT_LIB_OBJ := $(filter-out $(BUILD)/obj/agent/main.o,$(AGENT_OBJ))
SHIM_LIB_OBJ := $(filter-out $(BUILD)/obj/shim/runtime/main.o,$(SHIM_OBJ))

LIBS_COMMON := -ljson-c -levent_core -lprotobuf-c
LIBS_AGENT := -lseccomp -lcap $(LIBS_COMMON)
LIBS_HOST := -lcap $(LIBS_COMMON)

.DEFAULT_GOAL := all
.PHONY: all
all: $(BUILD)/onggi-runtime $(BUILD)/onggi-agent

$(BUILD)/gen/common/proto/%.pb-c.c $(BUILD)/gen/common/proto/%.pb-c.h: common/proto/%.proto
	@mkdir -p $(BUILD)/gen
	@protoc-c --c_out=$(BUILD)/gen $<

$(BUILD)/obj/common/proto/%.o: $(BUILD)/gen/common/proto/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -Wno-shadow -fPIE -MMD -MP -c $< -o $@

$(BUILD)/obj/%.o: %.c | $(PROTO_H)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -fPIE -MMD -MP -c $< -o $@

$(BUILD)/libcommon.a: $(COMMON_OBJ)
$(BUILD)/libhypervisor.a: $(HYPERVISOR_OBJ)
$(BUILD)/libagent.a: $(AGENT_LIB_OBJ)
$(BUILD)/libshim.a: $(SHIM_LIB_OBJ)
$(BUILD)/lib%.a:
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/onggi-runtime: $(BUILD)/obj/shim/runtime/main.o $(BUILD)/libshim.a $(BUILD)/libhypervisor.a $(BUILD)/libcommon.a
	@echo "  LD      $@"
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ $(LIBS_HOST)

$(BUILD)/onggi-agent: $(BUILD)/obj/agent/main.o $(BUILD)/libagent.a $(BUILD)/libcommon.a
	@echo "  LD      $@"
	@$(CC) $(CFLAGS_ALL) -static-pie $(LDFLAGS_ALL) -Wl,--gc-sections -o $@ $^ $(LIBS_AGENT)

# ---- unit tests --------------------------------------------------------------------------------

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libshim.a $(BUILD)/libagent.a $(BUILD)/libhypervisor.a $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -pie $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS_AGENT)

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
