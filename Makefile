# Runnel. `make help` lists the targets. Everything that is built goes below build/, which mirrors the tree.
#
#   SAN=address|undefined|thread   a build with that sanitizer, in build/<san>/
#   BUILD=dir                      another folder for what is built
#   CC=clang                       another compiler
#   HOSTCC=gcc                     the compiler for what runs during the build, where CC compiles for another machine
#   CFLAGS='-O0 -g'                other optimisation
#   TESTS=word                     of the test programs those with the word in their path
#   JOBS=n                         test programs at once (the number of processors)

SHELL := /bin/bash
.SHELLFLAGS := -ec
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VERSION := 0.1.0
comma := ,
empty :=
space := $(empty) $(empty)

ifneq ($(SAN),)
ifneq ($(filter-out address undefined thread,$(subst $(comma),$(space),$(SAN))),)
$(error SAN is address, undefined, thread or address,undefined, not '$(SAN)')
endif
endif

BUILD := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS := $(if $(SAN),-O1 -g,-O2 -g)
# For what runs during the build.
HOSTCC := cc

PREFIX := /usr/local
LIBDIR = $(PREFIX)/lib
DESTDIR :=
unit_folder := /lib/systemd/system
examples_folder = $(PREFIX)/share/runnel/systemd
users_folder := /usr/lib/sysusers.d

warnings := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual -Werror
sanitize := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
# _FORTIFY_SOURCE needs an optimising compiler, and the sanitizers do not see through its checked functions.
harden := $(if $(SAN)$(findstring -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3) -fstack-protector-strong
dialect := -std=c17 -D_GNU_SOURCE -pthread
# Builds with a sanitizer also check each mutex's owner and rank (RN_DEBUG).
compile = $(CC) $(dialect) $(warnings) $(CFLAGS) $(harden) $(sanitize) $(if $(SAN),-DRN_DEBUG) -fvisibility=hidden
host_compile = $(HOSTCC) $(dialect) $(warnings) -O1 -fno-pie -DRUNNEL_VERSION='"$(VERSION)"' -Ilib/include -Idaemon
link = $(CC) -pthread $(CFLAGS) $(sanitize) -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# ---------------------------------------------------------------------------------------------------------------------
# What there is. A layer may use those before it in this list (cli observe, config and the store's check alone); each becomes one archive.

layers := observe config store runners engine api cli

objects_of = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)))
lib_objects := $(call objects_of,lib/src/*.c)
main_object := $(call objects_of,daemon/*.c)
examples := $(patsubst %.c,$(BUILD)/%,$(wildcard lib/examples/*.c))

below_lib := $(BUILD)/librunnel.a
below_observe := $(BUILD)/observe.a $(below_lib)
below_config := $(BUILD)/config.a $(below_observe)
below_store := $(BUILD)/store.a $(below_config)
below_runners := $(BUILD)/runners.a $(below_store)
below_engine := $(BUILD)/engine.a $(below_runners)
below_api := $(BUILD)/api.a $(below_engine)
below_cli := $(BUILD)/cli.a $(below_store)

libs_lib := -lm
libs_observe := -lsystemd $(libs_lib)
libs_config := -lconfig -lgnutls -lnettle $(libs_observe)
libs_store := -lsqlite3 -ljansson -lnettle $(libs_config)
libs_runners := $(libs_store)
libs_engine := $(libs_runners)
libs_api := -lmicrohttpd $(libs_engine)
libs_cli := -lcurl -lncursesw -ltinfo $(libs_store)

products := $(BUILD)/librunnel.a $(BUILD)/librunnel.so $(if $(main_object),$(BUILD)/runneld $(BUILD)/runnel)
manual := $(BUILD)/man/runnel.1 $(BUILD)/man/runneld.conf.5 $(BUILD)/man/runneld.8

.PHONY: all
all: $(products) $(manual) $(examples) ## everything but the tests: runneld, runnel, librunnel.a, librunnel.so, the examples

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@sed -n '/^# *[A-Z]*=/s/^# */  /p' Makefile

# ---------------------------------------------------------------------------------------------------------------------
# Packages. What a target needs is installed before the first object is compiled: everything compiled depends on .flags.

package_sets := $(if $(filter run,$(MAKECMDGOALS)),run) \
    $(if $(filter check check-unit check-examples check-integration check-long valgrind,$(MAKECMDGOALS)),check) \
    $(if $(filter lint format,$(MAKECMDGOALS)),lint) $(if $(filter bench,$(MAKECMDGOALS)),bench) \
    $(if $(filter coverage,$(MAKECMDGOALS)),coverage) $(if $(filter mutate model,$(MAKECMDGOALS)),check) \
    $(if $(filter docs,$(MAKECMDGOALS)),docs) $(if $(filter check-system,$(MAKECMDGOALS)),system) \
    $(if $(filter check-fuzz,$(MAKECMDGOALS)),check) $(if $(filter fuzz,$(MAKECMDGOALS)),fuzz) \
    $(if $(filter coverage-parsers,$(MAKECMDGOALS)),coverage)
package_sets += $(filter deb check-deb,$(MAKECMDGOALS))

.PHONY: packages
packages:
	@for set in $(package_sets); do .ci/packages.sh $$set; done

# ---------------------------------------------------------------------------------------------------------------------
# Objects. lib/ is compiled without -Idaemon: it cannot know the daemon.

$(lib_objects): flags = -fPIC -fno-semantic-interposition -Ilib/include -Ilib/src
$(BUILD)/lib/examples/%.o: flags = -fPIE -Ilib/include
$(BUILD)/daemon/%.o: flags = -fPIE -DRUNNEL_VERSION='"$(VERSION)"' -Ilib/include -Idaemon
$(BUILD)/tests/unit/%.o: flags = -fPIE -Ilib/include -Idaemon -Itests/unit -I$(<D)
$(BUILD)/tests/unit/lib/%.o: flags = -fPIE -Ilib/include -Ilib/src -Itests/unit
$(BUILD)/tests/integration/%.o: flags = -fPIE -Ilib/include -Idaemon -Itests/integration -Itests/unit
$(BUILD)/tests/crash/%.o: flags = -fPIE -Ilib/include -Idaemon -Itests/unit -Itests/unit/store
$(BUILD)/tests/bench/lib/%.o: flags = -fPIE -Ilib/include -Itests/bench
$(BUILD)/tests/examples/%.o: flags = -fPIE -Ilib/include
$(BUILD)/tests/fuzz/%.o: flags = -fPIE -Ilib/include -Idaemon -Itests/unit -Itests/unit/api -Itests/fuzz

$(BUILD)/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(compile) $(flags) -MMD -MP -c -o $@ $<

# The assembler puts it in, of which the compiler's list of includes does not tell.
$(BUILD)/daemon/api/openapi.o: daemon/api/openapi.json

# Touched only when the compiler or its flags change; then everything is compiled anew.
$(BUILD)/.flags: FORCE | packages
	@mkdir -p $(@D)
	@text='$(subst ','\'',$(compile) $(link) $(host_compile) $(VERSION))'; text="$$text $$($(CC) --version 2>&1 | head -n 1)"; \
	    echo "$$text" | cmp -s - $@ || echo "$$text" > $@

# The names of an archive's members: a file that has gone leaves the archive too.
$(BUILD)/%.members: FORCE
	@mkdir -p $(@D)
	@echo '$(members)' | cmp -s - $@ || echo '$(members)' > $@

.PHONY: FORCE
FORCE:

define archive
	@rm -f $@
	$(AR) rcs $@ $(filter %.o,$^)
endef

$(BUILD)/librunnel.members: members = $(lib_objects)
$(BUILD)/librunnel.a: $(lib_objects) $(BUILD)/librunnel.members
	$(archive)

$(BUILD)/librunnel.so: $(lib_objects) lib/src/runnel.map $(BUILD)/librunnel.members
	$(CC) -shared -pthread $(CFLAGS) $(sanitize) -Wl,-z,relro,-z,now -Wl,--as-needed $(if $(SAN),,-Wl,-z,defs) \
	    -Wl,-soname,librunnel.so.0 -Wl,--version-script=lib/src/runnel.map $(LDFLAGS) -o $@ $(lib_objects) $(libs_lib)
	@ln -sf librunnel.so $@.0

.PHONY: lib
lib: $(BUILD)/librunnel.a $(BUILD)/librunnel.so ## the library alone; needs a C compiler and make, and none of the daemon's packages

define layer_rules
objects_$(1) := $(call objects_of,daemon/$(1)/*.c)
$(BUILD)/$(1).members: members = $$(objects_$(1))
$(BUILD)/$(1).a: $$(objects_$(1)) $(BUILD)/$(1).members
	$$(archive)
endef
$(foreach layer,$(layers),$(eval $(call layer_rules,$(layer))))

$(BUILD)/runneld: $(main_object) $(below_api)
	$(link) -o $@ $^ $(libs_api)

# The client's main stands in its folder: its archive is for the tests, which have their own.
$(BUILD)/runnel: $(BUILD)/daemon/cli/main.o $(below_cli)
	$(link) -o $@ $^ $(libs_cli)

# The manual pages. What a table in the code says is printed from it; a page's line `@name@` is where. What prints runs here, whatever
# machine the rest is for, so it is linked with nothing that is: of the commands' table the functions stay out, since nothing calls them.
host_objects := $(patsubst %,$(BUILD)/host/%.o,lib/src/error \
    $(addprefix daemon/,config/manual/mdoc config/manual/settings config/units cli/manual/commands cli/commands))
$(BUILD)/host/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(host_compile) -MMD -MP -c -o $@ $<

$(BUILD)/man/settings: $(filter-out %/commands.o,$(host_objects))
	@mkdir -p $(@D)
	$(HOSTCC) -no-pie -o $@ $^

$(BUILD)/man/commands: $(filter %/commands.o %/mdoc.o,$(host_objects))
	@mkdir -p $(@D)
	$(HOSTCC) -no-pie -Wl,--unresolved-symbols=ignore-all -o $@ $^

define page
	@'$(filter %/settings %/commands,$^)' > $@.table
	@sed -e '/^@[a-z]*@$$/{r $@.table' -e 'd}' $(filter %.in,$^) > $@
endef

$(BUILD)/man/runnel.1: daemon/cli/runnel.1.in $(BUILD)/man/commands
	$(page)

$(BUILD)/man/runneld.conf.5: daemon/runneld.conf.5.in $(BUILD)/man/settings
	$(page)

$(BUILD)/man/runneld.8: daemon/runneld.8
	@mkdir -p $(@D)
	@cp $< $@

$(examples): $(BUILD)/%: $(BUILD)/%.o $(below_lib)
	$(link) -o $@ $^ $(libs_lib)

.PHONY: examples
examples: $(examples) ## the library's example programs, in build/lib/examples/

# ---------------------------------------------------------------------------------------------------------------------
# Tests. A unit test is one program, linked with its layer's archive and those below. Files beside it that are not named
# test_* are helpers, linked into every test of that folder.

wrapped := malloc calloc realloc strdup pthread_create eventfd write fsync fdatasync ftruncate posix_fallocate mmap open fork statfs getrandom \
    socket bind listen fchmod chmod chown flock accept4 renameat2 linkat
wrap := $(wrapped:%=-Wl,--wrap=%)
unit_support := $(call objects_of,tests/unit/*.c)

define unit_rules
tests_$(1) := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/$(1)/test_*.c))
helpers_$(1) := $(call objects_of,$(filter-out $(wildcard tests/unit/$(1)/test_*.c),$(wildcard tests/unit/$(1)/*.c)))
$$(tests_$(1)): $(BUILD)/%: $(BUILD)/%.o $$(helpers_$(1)) $$(unit_support) $$(below_$(1))
	$$(link) $$(wrap) -o $$@ $$^ -lcmocka -ljansson $$(libs_$(1))
unit_tests += $$(tests_$(1))
endef
unit_tests :=
$(foreach layer,lib $(layers),$(eval $(call unit_rules,$(layer))))

# JSONTestSuite, for the two tests that submit it.
$(BUILD)/tests/json/%.o: flags = -fPIE
$(BUILD)/tests/unit/api/test_json_suite.o $(BUILD)/tests/integration/test_json_suite.o: flags += -Itests/json
$(BUILD)/tests/unit/api/test_json_suite $(BUILD)/tests/integration/test_json_suite: $(BUILD)/tests/json/suite.o

integration_sources := $(wildcard tests/integration/test_*.c)
integration_tests := $(integration_sources:%.c=$(BUILD)/%)
integration_support := $(call objects_of,$(filter-out $(integration_sources),$(wildcard tests/integration/*.c)) tests/unit/folder.c)

# The commands that integration tests let the daemon run.
integration_tools := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/integration/tools/*.c))
$(integration_tools): $(BUILD)/%: $(BUILD)/%.o
	$(link) -o $@ $^

# They use nothing of the product but its programs, and the API's description, which they hold against what these do.
$(integration_tests): $(BUILD)/%: $(BUILD)/%.o $(integration_support) $(BUILD)/daemon/api/openapi.o | $(integration_tools)
	$(link) -o $@ $^ -lcmocka -lcurl -ljansson -lsqlite3

# Power cuts, on the store alone: with calls of its own in front of the system's, so without --wrap.
crash_tests := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/crash/test_*.c))
crash_support := $(call objects_of,$(filter-out $(wildcard tests/crash/test_*.c),$(wildcard tests/crash/*.c)))
$(crash_tests): $(BUILD)/%: $(BUILD)/%.o $(crash_support) $(BUILD)/tests/unit/store/support.o $(below_store)
	$(link) -o $@ $^ -lcmocka $(libs_store)
integration_tests += $(crash_tests)

# Those that are shell scripts stand beside the programs. The one that installs the library builds it by itself, so a sanitizer
# would change nothing; what the client's screens show is the same with one.
integration_scripts := $(patsubst %,$(BUILD)/%,$(filter-out $(if $(SAN),%/test_install.sh %/test_cli_transcript.sh),$(wildcard tests/integration/test_*.sh)))
$(integration_scripts): $(BUILD)/%: % | $(integration_tools)
	@mkdir -p $(@D)
	@install -m 755 $< $@
integration_tests += $(integration_scripts)

# Once they have run: what of the API's description none of them has seen. Not where only some of them run.
seen_folder := $(abspath $(BUILD)/tests/seen)
$(BUILD)/tests/openapi/%.o: flags = -fPIE -Ilib/include -Idaemon -Itests/unit -Itests/integration
$(BUILD)/tests/openapi/test_seen: $(BUILD)/tests/openapi/test_seen.o $(BUILD)/tests/integration/schema.o $(BUILD)/daemon/api/openapi.o
	$(link) -o $@ $^ -lcmocka -ljansson
seen_test := $(if $(TESTS),,$(BUILD)/tests/openapi/test_seen)

# What the library's examples print, and the code of its guide.
example_programs := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/examples/*.c))
$(example_programs): $(BUILD)/%: $(BUILD)/%.o $(below_lib)
	$(link) -o $@ $^ -lcmocka $(libs_lib)
example_scripts := $(patsubst %,$(BUILD)/%,$(wildcard tests/examples/test_*.sh))
$(example_scripts): $(BUILD)/%: % | $(examples) $(example_programs)
	@mkdir -p $(@D)
	@install -m 755 $< $@
example_tests := $(example_scripts) $(filter $(BUILD)/tests/examples/test_%,$(example_programs))

# Fuzz targets: a file each, a function of any bytes. As tests they are linked with a driver that gives them their corpus; for
# `make fuzz` (LIBFUZZER=1), which builds with clang, with libFuzzer in its place.
fuzz_main := $(if $(LIBFUZZER),,$(BUILD)/tests/fuzz/driver.o)
fuzz_support := $(BUILD)/tests/fuzz/support.o $(fuzz_main)
fuzz_link = $(link) $(if $(LIBFUZZER),-fsanitize=fuzzer) -o $@ $^ $(if $(LIBFUZZER),,-lcmocka) -ljansson
fuzz_tests := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_of_client := $(filter %/fuzz_client,$(fuzz_tests))
$(fuzz_of_client): $(BUILD)/%: $(BUILD)/%.o $(fuzz_support) $(below_cli)
	$(fuzz_link) $(libs_cli)
# The server of this one has the engine of the API's unit tests.
fuzz_of_http := $(filter %/fuzz_http,$(fuzz_tests))
$(fuzz_of_http): $(BUILD)/%: $(BUILD)/%.o $(fuzz_support) $(BUILD)/tests/unit/api/fake_engine.o $(BUILD)/tests/unit/api/fake_store.o $(below_api)
	$(fuzz_link) $(libs_api)
$(filter-out $(fuzz_of_client) $(fuzz_of_http),$(fuzz_tests)): $(BUILD)/%: $(BUILD)/%.o $(fuzz_support) $(below_api)
	$(fuzz_link) $(libs_api)

# The daemon once more, with built-ins that misbehave; there are no hooks for them in the product.
test_daemon_objects := $(call objects_of,tests/integration/daemon/*.c)
$(BUILD)/tests/runneld: $(main_object) $(test_daemon_objects) $(below_api)
	@mkdir -p $(@D)
	$(link) -o $@ $^ $(libs_api)

daemons := $(if $(main_object),$(BUILD)/runneld $(BUILD)/tests/runneld $(BUILD)/runnel)
valgrind := valgrind --quiet --suppressions=$(abspath tests/unit/valgrind.supp) --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=99 \
    --fair-sched=yes --num-callers=24 --child-silent-after-fork=yes

# The processors, unless JOBS says otherwise.
JOBS := $(shell nproc)
chosen = $(if $(TESTS),$(foreach test,$(1),$(if $(findstring $(TESTS),$(test)),$(test))),$(1))
run_tests = rm -rf '$(seen_folder)' && mkdir -p '$(seen_folder)' && RUNNELD='$(abspath $(BUILD)/runneld)' RUNNEL='$(abspath $(BUILD)/runnel)' \
    RUNNELD_TEST='$(abspath $(BUILD)/tests/runneld)' RUNNEL_SEEN='$(seen_folder)' RUNNEL_UNSEEN='$(abspath tests/openapi/unseen.txt)' \
    RUNNEL_CONFIG='$(abspath config/runneld.conf)' RUNNEL_README='$(abspath README.md)' RUNNEL_SOURCE='$(CURDIR)' RUNNEL_MAN='$(abspath $(BUILD)/man)' CC='$(CC)' \
    JOBS=$(JOBS) tests/run.sh $(BUILD)/tests

.PHONY: check check-unit check-fuzz check-examples check-integration check-long valgrind
check: $(call chosen,$(unit_tests) $(fuzz_tests) $(example_tests) $(integration_tests)) $(daemons) $(manual) $(seen_test) ## unit tests and corpora, then example and integration tests
	@$(run_tests) $(call chosen,$(unit_tests) $(fuzz_tests)) -- $(call chosen,$(example_tests) $(integration_tests)) -- $(seen_test)

check-unit: $(call chosen,$(unit_tests)) ## the unit tests alone
	@$(run_tests) $(call chosen,$(unit_tests))

check-fuzz: $(call chosen,$(fuzz_tests)) ## the fuzz targets' corpora alone, without libFuzzer
	@$(run_tests) $(call chosen,$(fuzz_tests))

check-examples: $(call chosen,$(example_tests)) ## the library's examples and its guide alone
	@$(run_tests) $(call chosen,$(example_tests))

check-integration: $(call chosen,$(integration_tests)) $(daemons) $(manual) $(seen_test) ## the integration tests alone
	@$(run_tests) $(call chosen,$(integration_tests)) -- $(seen_test)

check-long: $(call chosen,$(integration_tests)) $(daemons) $(seen_test) ## the integration tests with many more rounds
	@export RUNNEL_LONG=1 TEST_TIMEOUT=3600 RUNNEL_SEED="$${RUNNEL_SEED:-$$(date +%s)}"; $(run_tests) $(call chosen,$(integration_tests)) -- $(seen_test)

.PHONY: check-openapi
check-openapi: ## the API's description: two validators, and a TypeScript client; needs npm and what it installs in build/openapi/
	@tests/openapi/check.sh '$(BUILD)/openapi'

# The script in there installs the same build: with the same variables, and nothing left to compile. 77: no systemd can be booted.
.PHONY: check-system
check-system: all ## the installed service under a systemd of its own, as root: tests/system/
	@tests/system/boot.sh -- /opt/source/tests/system/check.sh '$(TESTS)' $(MAKEOVERRIDES)

valgrind: $(call chosen,$(unit_tests) $(example_tests)) ## the unit tests and the examples under valgrind
	@export TEST_WRAPPER='$(valgrind)' RUNNEL_VALGRIND=1 TEST_TIMEOUT=600; $(run_tests) $(call chosen,$(unit_tests) $(example_tests))

# What the library's unit tests reach of it. An assertion that holds has a branch that nothing takes.
gcovr = gcovr --root . --filter lib/src/ --exclude-unreachable-branches \
    --exclude-branches-by-pattern '.*RN_ASSERT.*' --html-details $(BUILD)/coverage/html/index.html --txt $(BUILD)/coverage/report.txt \
    --print-summary --fail-under-line 95 --fail-under-branch 85 $(BUILD)/coverage/lib/src
.PHONY: coverage mutate
coverage: packages ## line and branch coverage of lib/src: at least 95 and 85 percent
	@mkdir -p $(BUILD)/coverage/html
	@find $(BUILD)/coverage -name '*.gcda' -delete
	@$(MAKE) -s BUILD=$(BUILD)/coverage CFLAGS='-O0 -g --coverage -fprofile-update=atomic' TESTS=unit/lib check-unit
	@$(gcovr) || result=$$?; cat $(BUILD)/coverage/report.txt; exit $${result:-0}

# What unit tests and corpora reach of the files that read what comes from outside.
parsers := daemon/api/access.c daemon/api/body.c daemon/api/cursor.c daemon/api/fields.c daemon/api/fields_change.c daemon/api/filter.c \
    daemon/api/framing.c daemon/api/gate.c daemon/api/key.c daemon/api/members.c daemon/api/scan.c daemon/api/trace.c \
    daemon/cli/raw.c daemon/cli/table.c daemon/cli/text.c daemon/cli/values.c \
    daemon/config/environment.c daemon/config/names.c daemon/config/scan.c daemon/config/tokens.c daemon/config/units.c \
    daemon/runners/args.c daemon/runners/template.c daemon/store/import_line.c daemon/store/record.c daemon/store/slots.c
parsers_build := $(BUILD)/coverage-parsers
.PHONY: coverage-parsers
coverage-parsers: packages ## line coverage of the parsers by unit tests and corpora: at least 95 percent
	@mkdir -p $(parsers_build)
	@find $(parsers_build) -name '*.gcda' -delete
	@$(MAKE) -s BUILD=$(parsers_build) CFLAGS='-O0 -g --coverage -fprofile-update=atomic' check-parsers
	@gcovr --root . $(parsers:%=--filter %) --exclude-lines-by-pattern '.*RN_ASSERT.*' --txt $(parsers_build)/report.txt --print-summary \
	    --fail-under-line 95 $(parsers_build)/daemon || result=$$?; cat $(parsers_build)/report.txt; exit $${result:-0}

.PHONY: check-parsers
check-parsers: $(fuzz_tests) $(foreach layer,config store runners api cli,$(tests_$(layer)))
	@$(run_tests) $^

# libFuzzer is clang's. It has a build of its own, with the sanitizers.
FUZZ_SECONDS := 60
.PHONY: fuzz fuzz-programs
fuzz-programs: $(call chosen,$(fuzz_tests))
fuzz: packages ## runs libFuzzer on the parsers, FUZZ_SECONDS=60 for each target; TESTS=word picks some; needs clang
	@$(MAKE) -s BUILD=$(BUILD)/fuzz CC=clang SAN=address,undefined CFLAGS='-O1 -g -fsanitize=fuzzer-no-link' LIBFUZZER=1 fuzz-programs
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh $(BUILD)/fuzz $(call chosen,$(fuzz_tests:$(BUILD)/%=$(BUILD)/fuzz/%))

mutate: packages ## seeded faults in lib/src: does a unit test fail for each?
	@BUILD='$(BUILD)' CC='$(CC)' JOBS=$(JOBS) tests/mutate/run.sh $(TESTS)

.PHONY: model
model: packages ## every interleaving of small programs on channels and selects, and whether seeded faults are found
	@BUILD='$(BUILD)' CC='$(CC)' JOBS=$(JOBS) tests/model/run.sh '$(TESTS)'

# What the script compiles and links with.
.PHONY: print-lib-flags print-wrap
print-lib-flags:
	@echo '$(dialect) -O1 -g -DRN_DEBUG -fPIC -fvisibility=hidden -Ilib/include -Ilib/src -w'
print-wrap:
	@echo '$(wrap)'

bench_lib_objects := $(call objects_of,tests/bench/lib/*.c)
$(BUILD)/tests/bench/lib/bench: $(bench_lib_objects) $(below_lib)
	$(link) -o $@ $^ $(libs_lib)

.PHONY: bench bench-lib
bench: $(products) ## how fast it is, as ratios against what runs beside it
	@BUILD='$(BUILD)' CC='$(CC)' tests/bench/run.sh

bench-lib: $(BUILD)/tests/bench/lib/bench ## how fast the library is, beside Go and beside bare threads, on one processor and on two
	@.ci/packages.sh bench-lib || echo 'The figures of what is missing are left out.' >&2
	@BUILD='$(BUILD)' tests/bench/lib/run.sh

# ---------------------------------------------------------------------------------------------------------------------
# Lint

lint_sources = $(sort $(wildcard lib/src/*.c lib/examples/*.c daemon/*.c daemon/*/*.c daemon/*/manual/*.c tests/unit/*.c tests/unit/*/*.c \
    tests/integration/*.c tests/integration/*/*.c tests/crash/*.c tests/fuzz/*.c tests/json/*.c tests/openapi/*.c tests/bench/lib/*.c tests/examples/*.c))
lint_headers = $(sort $(wildcard lib/include/runnel/*.h lib/src/*.h daemon/*/*.h daemon/*/manual/*.h tests/unit/*.h tests/unit/*/*.h \
    tests/integration/*.h tests/crash/*.h tests/fuzz/*.h tests/json/*.h tests/bench/lib/*.h))

.PHONY: lint format
lint: packages ## clang-format, clang-tidy, clang's thread-safety analysis, cppcheck, include directions, banned functions
	@.ci/lint.sh '$(BUILD)' $(lint_sources) $(lint_headers)

format: packages ## formats the sources in place
	clang-format -i $(lint_sources) $(lint_headers)

# ---------------------------------------------------------------------------------------------------------------------
# Documents

.PHONY: docs
docs: packages ## the library's reference, made of its headers, in build/docs/html/
	@mkdir -p '$(BUILD)/docs'
	@{ cat lib/Doxyfile; echo 'PROJECT_NUMBER = $(VERSION)'; echo 'OUTPUT_DIRECTORY = $(BUILD)/docs'; } | doxygen -
	@echo '$(BUILD)/docs/html/index.html'

# ---------------------------------------------------------------------------------------------------------------------
# Debian packages

.PHONY: deb check-deb
deb: packages ## Debian packages, in build/deb/; VERSION=0.2.0 gives them another version
	@.ci/deb.sh '$(BUILD)' '$(VERSION)'

check-deb: packages ## the packages in a fresh Debian with a systemd of its own, as root: install, upgrade, downgrade, remove, purge
	@BUILD='$(BUILD)' tests/packages/check.sh

# ---------------------------------------------------------------------------------------------------------------------
# Run, install, clean

run_folder := $(BUILD)/run

.PHONY: run
run: $(BUILD)/runneld $(BUILD)/runnel ## starts runneld in the foreground on the sample configuration; PORT=9000 make run takes another port
	@mkdir -p $(run_folder)
	@# The daemon takes the shell's place, so that signals reach it; tee -i stays for what is logged after Ctrl-C.
	@exec $(BUILD)/runneld -c config/runneld.conf -o store='$(CURDIR)/$(run_folder)/runnel.db' \
	    $(if $(PORT),-o listen='127.0.0.1:$(PORT)') 2> >(exec tee -i -a $(run_folder)/runneld.log >&2)

.PHONY: install install-lib uninstall
install-lib: lib ## the library alone: headers, librunnel.a, librunnel.so and runnel.pc, below DESTDIR, in PREFIX (/usr/local)
	install -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(PREFIX)/include/runnel'
	install -m 644 lib/include/runnel/*.h '$(DESTDIR)$(PREFIX)/include/runnel/'
	install -m 644 $(BUILD)/librunnel.a '$(DESTDIR)$(LIBDIR)/librunnel.a'
	install -m 644 $(BUILD)/librunnel.so '$(DESTDIR)$(LIBDIR)/librunnel.so.$(VERSION)'
	ln -sf librunnel.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/librunnel.so.0'
	ln -sf librunnel.so.0 '$(DESTDIR)$(LIBDIR)/librunnel.so'
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|; s|@VERSION@|$(VERSION)|' lib/runnel.pc.in > '$(DESTDIR)$(LIBDIR)/pkgconfig/runnel.pc'
	chmod 644 '$(DESTDIR)$(LIBDIR)/pkgconfig/runnel.pc'
	@# What is in a folder of the system is found by programs when its cache says so.
	@if test -z '$(DESTDIR)' && test -w /etc/ld.so.cache; then ldconfig; fi

install: $(products) $(manual) install-lib ## runneld, runnel, the library, units and sample configuration, below DESTDIR, in PREFIX (/usr/local)
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(unit_folder)' '$(DESTDIR)$(users_folder)' '$(DESTDIR)/etc/runnel' \
	    '$(DESTDIR)$(examples_folder)/examples'
	install -m 755 $(BUILD)/runneld '$(DESTDIR)$(PREFIX)/bin/runneld'
	install -m 755 $(BUILD)/runnel '$(DESTDIR)$(PREFIX)/bin/runnel'
	install -d '$(DESTDIR)$(PREFIX)/share/bash-completion/completions' '$(DESTDIR)$(PREFIX)/share/zsh/site-functions'
	install -m 644 daemon/cli/completions/runnel.bash '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/runnel'
	install -m 644 daemon/cli/completions/_runnel '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_runnel'
	for page in $(notdir $(manual)); do \
	    install -D -m 644 "$(BUILD)/man/$$page" "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$page"; \
	done
	sed 's|@PREFIX@|$(PREFIX)|g' systemd/runneld.service > '$(DESTDIR)$(unit_folder)/runneld.service'
	chmod 644 '$(DESTDIR)$(unit_folder)/runneld.service'
	install -m 644 systemd/runneld.socket '$(DESTDIR)$(unit_folder)/runneld.socket'
	install -m 644 systemd/strict.conf '$(DESTDIR)$(examples_folder)/strict.conf'
	install -m 644 systemd/examples/*.conf '$(DESTDIR)$(examples_folder)/examples/'
	install -m 644 systemd/runnel.sysusers '$(DESTDIR)$(users_folder)/runnel.conf'
	test -e '$(DESTDIR)/etc/runnel/runneld.conf' || install -m 644 config/runneld.conf '$(DESTDIR)/etc/runnel/runneld.conf'
	@if test -z '$(DESTDIR)'; then \
	    if command -v systemd-sysusers > /dev/null; then systemd-sysusers '$(users_folder)/runnel.conf'; fi; \
	    if test -d /run/systemd/system; then systemctl daemon-reload; fi; \
	    echo 'Start it with: systemctl enable --now runneld'; \
	fi

uninstall: ## what install and install-lib put there, but neither configuration, user nor tasks
	rm -f '$(DESTDIR)$(PREFIX)/bin/runnel' '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/runnel' \
	    '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_runnel'
	for page in $(notdir $(manual)); do rm -f "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$page"; done
	rm -f '$(DESTDIR)$(PREFIX)/bin/runneld' '$(DESTDIR)$(LIBDIR)/librunnel.a' '$(DESTDIR)$(LIBDIR)/librunnel.so' \
	    '$(DESTDIR)$(LIBDIR)/librunnel.so.0' '$(DESTDIR)$(LIBDIR)/librunnel.so.$(VERSION)' \
	    '$(DESTDIR)$(LIBDIR)/pkgconfig/runnel.pc' \
	    '$(DESTDIR)$(unit_folder)/runneld.service' '$(DESTDIR)$(unit_folder)/runneld.socket' '$(DESTDIR)$(users_folder)/runnel.conf'
	rm -rf '$(DESTDIR)$(PREFIX)/include/runnel' '$(DESTDIR)$(examples_folder)'
	@if test -d '$(DESTDIR)$(PREFIX)/share/runnel'; then rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(PREFIX)/share/runnel'; fi
	@if test -z '$(DESTDIR)' && test -d /run/systemd/system; then systemctl daemon-reload; fi

.PHONY: clean
clean: ## removes all that was built, and the store and log of make run
	rm -rf '$(BUILD)'

# Of every object that was built; those of other BUILDs lie deeper, and are read by their own make.
-include $(shell find $(wildcard $(addprefix $(BUILD)/,daemon lib tests host examples)) /dev/null -name '*.d')
