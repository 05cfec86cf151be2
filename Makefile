# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets.

# BUILD=DIR  where everything goes            CC=clang   another compiler
# SAN=LIST   address,undefined | thread       WERROR=1   warnings are errors
# FUZZ_S=N   seconds for each fuzz target     V=1        show the commands
# PREFIX=, SYSCONFDIR=, STATEDIR=, RUNDIR=, DESTDIR=   for install
# Programs of one BUILD are made again when compiler or flags change.

BUILD   ?= build
CLANG   ?= clang
FUZZ_S  ?= 60
PREFIX  ?= /usr/local
SYSCONFDIR ?= /etc
STATEDIR   ?= /var/lib/sluice
RUNDIR     ?= /run/sluice
VERSION := $(shell cat VERSION)
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(SAN),none)
SAN :=
endif
Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '%-5s %s\n' $(1) $(2))

PACKAGES := libfixbuf glib-2.0 rdkafka avro-c libzstd liblz4 zlib libconfig jansson libcurl libxxhash libcrypto
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lsnappy -lpthread -lm

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wformat=2 -Wundef \
	-Wnull-dereference -Wpointer-arith -Wwrite-strings -Wno-missing-field-initializers \
	$(if $(WERROR),-Werror)
HARDENING := -fstack-protector-strong -fstack-clash-protection -fPIE
LINK_HARDENING := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifeq ($(SAN),)
OPTIMIZE := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
else
OPTIMIZE := -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
CFLAGS_ALL := -std=gnu17 -D_GNU_SOURCE -I. -g $(OPTIMIZE) $(WARNINGS) $(HARDENING) -pthread \
	-DSLUICE_VERSION='"$(VERSION)"' -MMD -MP $(PKG_CFLAGS) $(CFLAGS)
LDFLAGS_ALL := $(LINK_HARDENING) $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

MAINS   := daemon/main.c daemon/sluicectl.c
SOURCES := $(filter-out $(MAINS),$(wildcard base/*.c collector/*.c normalizer/*.c sink/*.c daemon/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
GEN     := $(wildcard test/gen/*.c)
TESTS   := $(patsubst test/unit/%.c,$(BUILD)/test/%,$(wildcard test/unit/test_*.c))
HELPERS := $(patsubst test/system/%.c,$(BUILD)/%,$(wildcard test/system/*.c))
FUZZERS := $(patsubst test/fuzz/%.c,%,$(wildcard test/fuzz/fuzz_*.c))
BENCHES := $(patsubst test/bench/%.c,$(BUILD)/bench/%,$(wildcard test/bench/bench_*.c))

.PHONY: all help tests benches test check coverage bench fuzz fmt lint layers doc install clean golden-update FORCE
.SECONDARY:
.DELETE_ON_ERROR:
all: $(BUILD)/sluiced $(BUILD)/sluicectl $(BUILD)/sluicegen  ## the programs (default)

help:  ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

# What the objects of this BUILD were made with.
STAMP := $(CC) $(filter-out -Werror,$(CFLAGS_ALL)) | $(LDFLAGS_ALL)
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@printf '%s\n' '$(subst ','\'',$(STAMP))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(STAMP))' > $@
FORCE:

$(BUILD)/%.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<

$(BUILD)/libsluice.a: $(OBJECTS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(OBJECTS)

LINK = $(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS)

$(BUILD)/sluiced: $(BUILD)/daemon/main.o $(BUILD)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(LINK)

$(BUILD)/sluicectl: $(BUILD)/daemon/sluicectl.o $(BUILD)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(LINK)

$(BUILD)/sluicegen: $(GEN:%.c=$(BUILD)/%.o) $(BUILD)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(LINK)

$(HELPERS): $(BUILD)/%: $(BUILD)/test/system/%.o $(BUILD)/libsluice.a
	$(call say,LD,$@)
	$(Q)$(LINK)

# Put before a program by LD_PRELOAD, so never with a sanitizer of its own.
$(BUILD)/fault.so: test/chaos/fault.c
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -g -O2 $(WARNINGS) -fPIC -shared -o $@ $< -ldl

# The test stands between the sink and the disk, and says what a log on disk would.
$(BUILD)/test/test_manifest: private WRAP := -Wl,--wrap=openat,--wrap=write,--wrap=fsync,--wrap=renameat2,--wrap=unlinkat,--wrap=mkdirat \
	-Wl,--wrap=clock_mono_ms,--wrap=nanosleep,--wrap=log_hub_is_durable,--wrap=log_reader_sync \
	-Wl,--wrap=log_reader_stored_lsn,--wrap=log_reader_committed
# A disk that does not read.
$(BUILD)/test/test_log_disk: private WRAP := -Wl,--wrap=pread
# Rates are told by the test's own clock.
$(BUILD)/test/test_admit: private WRAP := -Wl,--wrap=clock_mono_ms
# What a definition costs is counted, and memory runs out there.
$(BUILD)/test/test_gate: private WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(BUILD)/test/test_tee: private WRAP := -Wl,--wrap=sendmmsg
# What is put into a row is known, and memory runs out where the record is read.
$(BUILD)/test/test_parquet_flow: private WRAP := -Wl,--wrap=parquet_schema_new,--wrap=batch_add_rows,--wrap=realloc \
	-Wl,--wrap=parquet_put_null_at,--wrap=parquet_put_i64_at,--wrap=parquet_put_octets_at
$(TESTS): $(BUILD)/test/%: $(BUILD)/test/unit/%.o $(BUILD)/libsluice.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) $(WRAP) -lcmocka

$(BENCHES): $(BUILD)/bench/%: $(BUILD)/test/bench/%.o $(BUILD)/libsluice.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK)

tests: $(TESTS) $(HELPERS) $(BUILD)/fault.so

benches: $(BENCHES)

test: all tests  ## unit and golden tests: under 10 s, no network, no root
	@scripts/unit $(BUILD) $(TESTS)

layers:  ## the include rule, sizes, banned calls
	@scripts/layers

lint: layers  ## layers, clang-format, clang-tidy, cppcheck
	@scripts/lint

check:  ## what a merge needs
	@scripts/check

coverage:  ## branches of the gate that its test does not take
	@scripts/coverage $(BUILD)-coverage

bench: all benches $(HELPERS)  ## ns per stage, CPU per million flows beside nfcapd
	@scripts/bench $(BUILD)

# Each fuzzer for FUZZ_S seconds; what it finds is left in $(BUILD)-fuzz/found.
fuzz:  ## each fuzz target for FUZZ_S seconds
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-fuzz CC=$(CLANG) WERROR=1 SAN=address,undefined,fuzzer-no-link fuzzers
	@scripts/fuzz $(BUILD)-fuzz $(FUZZ_S) $(FUZZERS)

.PHONY: fuzzers
fuzzers: $(FUZZERS:%=$(BUILD)/fuzz/%)
# A wrong name is compared with 2400 others: nine tenths of fuzz_mapping's time, and no guide to anything.
ifneq ($(findstring fuzzer,$(SAN)),)
$(BUILD)/base/nearest.o: private CFLAGS_ALL += -fno-sanitize=fuzzer-no-link
endif
# Our own objects find alloc.c instead of malloc: it can fail.
FUZZ_WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
# Time is the input's.
$(BUILD)/fuzz/fuzz_collector: private FUZZ_WRAP += -Wl,--wrap=clock_mono_ms
$(FUZZERS:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/%: $(BUILD)/test/fuzz/%.o $(BUILD)/test/fuzz/alloc.o $(BUILD)/libsluice.a
	@mkdir -p $(dir $@)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_ALL) -pie -fsanitize=address,undefined,fuzzer $(FUZZ_WRAP) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS)

fmt:  ## clang-format over all sources
	clang-format -i $$(scripts/lint --files)

doc: $(BUILD)/sluiced  ## the generated pages of doc/
	@for page in fields options counters; do \
		$(BUILD)/sluiced --print-doc $$page > doc/$$(echo $$page | tr a-z A-Z).md || exit 1; done

golden-update:  ## rewrite test/corpus/*.tshark.json, which golden tests expect; the diff is what you defend
	scripts/corpus-capture --tshark

install: all  ## into DESTDIR and PREFIX; a sluice.conf that is there stays
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/sluice \
		$(DESTDIR)$(SYSCONFDIR)/sluice $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install $(BUILD)/sluiced $(DESTDIR)$(PREFIX)/sbin/sluiced
	install $(BUILD)/sluicectl $(DESTDIR)$(PREFIX)/bin/sluicectl
	cp -R templates $(DESTDIR)$(PREFIX)/share/sluice/
	install -d $(DESTDIR)$(PREFIX)/share/sluice/query.d
	install -m 644 scripts/query.d/*.sql $(DESTDIR)$(PREFIX)/share/sluice/query.d/
	@sed -e 's|^ME = .*|ME = "sluice-query"|' -e 's|^FLOWS = .*|FLOWS = "$(STATEDIR)/flows"|' scripts/query.d/query.py \
		> $(DESTDIR)$(PREFIX)/share/sluice/query.d/query.py
	@sed -e 's|^here=.*|here=$(PREFIX)/share/sluice|' -e 's|scripts/query|sluice-query|g' scripts/query > $(BUILD)/sluice-query
	install $(BUILD)/sluice-query $(DESTDIR)$(PREFIX)/bin/sluice-query
	chmod -R u=rwX,go=rX $(DESTDIR)$(PREFIX)/share/sluice
	@sed -e 's|"templates/|"$(PREFIX)/share/sluice/templates/|' \
	    -e 's|^state = .*|state = "$(STATEDIR)";|' \
	    -e 's|path = "flows"|path = "$(STATEDIR)/flows"|' \
	    -e 's|socket = "run/|socket = "$(RUNDIR)/|' etc/sluice.conf > $(BUILD)/sluice.conf
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' etc/sluiced.service > $(BUILD)/sluiced.service
	@conf=$(DESTDIR)$(SYSCONFDIR)/sluice/sluice.conf; \
	if [ ! -e $$conf ] || cmp -s $$conf $(BUILD)/sluice.conf; then to=$$conf; else to=$$conf.new; fi; \
	echo install -m 644 $(BUILD)/sluice.conf $$to; install -m 644 $(BUILD)/sluice.conf $$to
	install -m 644 $(BUILD)/sluiced.service $(DESTDIR)$(PREFIX)/lib/systemd/system/sluiced.service
	install -m 644 etc/sluice.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sluice.conf

clean:  ## everything that was built
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
