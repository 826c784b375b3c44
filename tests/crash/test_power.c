/** \file
 * Power cuts: a script of operations is recorded, and at each sync the store is made as a power cut
 * at that moment might have left it, in several ways. Whatever is left opens, is sound, and is
 * exactly what it was after the last step that was answered, or after the one that was under way.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk.h"
#include "observe/log.h"
#include "script.h"

static bool is_long(void)
{
    return getenv("RUNNEL_LONG") != NULL;
}

static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(RN_DEBUG)
    return true;
#else
    return false;
#endif
}

/* Printed, so that a failure can be had again. */
static uint32_t seed(void)
{
    const char *text = getenv("RUNNEL_SEED");
    uint32_t value = text == NULL ? 4711 : (uint32_t)strtoul(text, NULL, 10);

    print_message("seed %u (RUNNEL_SEED)\n", value);
    for (unsigned warm = 0; warm < 8; warm++)
        (void)disk_random(&value, 2);
    return value;
}

/* ---- one image ---- */

static void keep_first_fault(void *arg, const char *line)
{
    char *fault = arg;
    size_t length = strlen(line);
    bool is_ok = length > 4 && strcmp(line + length - 4, ": ok") == 0;
    if (fault[0] == '\0' && !is_ok)
        (void)snprintf(fault, 256, "%s", line);
}

/* What is said against a store by itself; "": nothing. */
static const char *check(struct fixture *image)
{
    static char fault[256];
    struct store_check_result result;
    struct error error = {0};

    fault[0] = '\0';
    if (store_check(image->path, keep_first_fault, fault, &result, &error) < 0)
        (void)snprintf(fault, sizeof(fault), "the check ends: %.200s", error.text);
    return result.faults > 0 || error.code != 0 ? fault : "";
}

/* What else holds of a store that is as it was after a step: a new id is new, it works. */
static void expect_that_it_goes_on(struct fixture *image, uint64_t last_id)
{
    struct error error = {0};
    if (store_start(image->store, &error) < 0)
        fail_msg("it does not start: %s", error.text);
    uint64_t id = put_one(image, new_record("a", "k", "1"));
    assert_in_range(id, last_id + 1, last_id + 1);
    assert_int_equal(state_of(image, id), TASK_QUEUED);
    forget_events(image);
}

/*
 * Says what is wrong with an image of that moment; "": nothing. What the store holds is looked at
 * between the opening and the recovery, which changes what was running.
 */
static const char *judge(struct fixture *image, const struct script *script, size_t moment,
                         bool goes_on)
{
    static char fault[400];
    struct error error = {0};
    size_t ended = 0; // steps that were answered
    size_t match = 0; // the step that it is as after, from 1

    while (ended < script->count && script->steps[ended].ended <= moment)
        ended++;
    fault[0] = '\0';
    if (script_open(image, &error) < 0) {
        (void)snprintf(fault, sizeof(fault), "it does not open: %.300s", error.text);
        return fault;
    }
    uint64_t contents = script_contents(image->path);
    uint64_t last_id = store_last_id(image->store);
    // The latest: some steps change nothing. Before the first one has ended, nothing need be there.
    for (size_t i = 0; i < script->count; i++)
        if (script->steps[i].contents == contents && script->steps[i].begun <= moment)
            match = i + 1;
    if (match == 0)
        (void)snprintf(fault, sizeof(fault), "it is as after no step, %zu were answered", ended);
    else if (match < ended)
        (void)snprintf(fault, sizeof(fault), "it is as after step %zu, %zu were answered (%s)",
                       match, ended, script->steps[ended - 1].what);
    else if (last_id != script->steps[match - 1].last_id)
        (void)snprintf(fault, sizeof(fault), "its last id is %llu", (unsigned long long)last_id);
    if (fault[0] == '\0' && script_recover(image, &error) < 0)
        (void)snprintf(fault, sizeof(fault), "it does not recover: %.300s", error.text);
    if (fault[0] == '\0' && goes_on)
        expect_that_it_goes_on(image, last_id);
    close_store(image);
    const char *found = fault[0] == '\0' ? check(image) : "";
    if (found[0] != '\0')
        (void)snprintf(fault, sizeof(fault), "%.300s", found);
    return fault;
}

/* ---- many images ---- */

/* Makes and judges the images of one moment; the number of those that were judged. */
static unsigned images_of(struct fixture *image, const struct script *script, size_t moment,
                          unsigned count, uint32_t *random, unsigned *wrong)
{
    for (unsigned i = 0; i < count; i++) {
        enum disk_loss loss = count == DISK_LOSS_COUNT
                                  ? (enum disk_loss)i
                                  : (enum disk_loss)disk_random(random, DISK_LOSS_COUNT);
        disk_make_image(image->folder, moment, loss, random);
        const char *fault = judge(image, script, moment, disk_random(random, 8) == 0);
        if (fault[0] == '\0')
            continue;
        if (wrong == NULL)
            fail_msg("moment %zu, of what was not synced %s: %s", moment, disk_loss_name(loss),
                     fault);
        (*wrong)++;
    }
    return count;
}

struct rig {
    struct fixture *store, *image;
    struct script *script;
};

/* Records a script, on a disk that lies about a file (NULL: about none); the store is closed at its
 * end, which is recorded too. */
static void record(struct rig *rig, uint32_t random, size_t steps, const char *lie)
{
    rig->script = calloc(1, sizeof(*rig->script));
    assert_non_null(rig->script);
    rig->script->fixture = rig->store;
    rig->script->random = random;
    disk_empty(rig->store->folder);
    disk_begin(rig->store->folder);
    disk_lie_about(lie);
    script_run(rig->script, steps);
    close_store(rig->store);
    disk_end();
}

static void forget(struct rig *rig)
{
    free(RN_TAKE(rig->script));
    disk_forget();
}

static int rig_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    (void)folder_setup((void **)&rig->store);
    (void)folder_setup((void **)&rig->image);
    *state = rig;
    return 0;
}

static int rig_teardown(void **state)
{
    struct rig *rig = *state;
    forget(rig);
    (void)store_teardown((void **)&rig->store);
    (void)store_teardown((void **)&rig->image);
    free(rig);
    return 0;
}

static void whatever_a_power_cut_leaves_is_the_store_as_it_was_answered(void **state)
{
    struct rig *rig = *state;
    uint32_t random = seed();
    unsigned rounds = is_long() ? 6 : 1;
    size_t steps = is_long() ? 250 : is_sanitized() ? 25 : 70;
    unsigned each = is_long() ? DISK_LOSS_COUNT : 4;
    unsigned images = 0;
    unsigned syncs = 0;

    for (unsigned round = 0; round < rounds; round++) {
        record(rig, random, steps, NULL);
        (void)disk_random(&random, 2);
        for (size_t moment = disk_next_sync(rig->script->steps[0].begun); moment != SIZE_MAX;
             moment = disk_next_sync(moment + 1)) {
            images += images_of(rig->image, rig->script, moment, each, &random, NULL);
            syncs++;
        }
        images += images_of(rig->image, rig->script, disk_now(), each, &random, NULL);
        forget(rig);
    }
    print_message("%u images of power cuts at %u syncs\n", images, syncs);
}

/* The proof that the images above would tell. */
static void a_disk_that_does_not_sync_is_found_out(void **state)
{
    struct rig *rig = *state;
    static const char *const lies[] = {"runnel.db-wal", "runnel.db"};
    uint32_t random = seed();

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        unsigned wrong = 0;
        record(rig, random, 20, lies[i]);
        for (size_t step = 0; step < rig->script->count; step++)
            (void)images_of(rig->image, rig->script, rig->script->steps[step].ended, 1, &random,
                            &wrong);
        print_message("%s: %u of %zu images are wrong\n", lies[i], wrong, rig->script->count);
        assert_int_not_equal(wrong, 0);
        forget(rig);
    }
}

/* ---- changes of a whole store ---- */

/* What a change of a store may leave, opened: the store as it was or as it is after it. */
struct change {
    size_t begun, ended; // moments
    uint64_t before, after;
    uint64_t copy; // of a file "runnel.db-v1-backup"; 0: there is none
};

static void judge_change(struct rig *rig, const struct change *change, size_t moment,
                         enum disk_loss loss)
{
    struct fixture *image = rig->image;
    struct error error = {0};

    if (script_open(image, &error) < 0)
        fail_msg("moment %zu, %s: %s", moment, disk_loss_name(loss), error.text);
    uint64_t contents = script_contents(image->path);
    bool is_right =
        contents == change->after || (contents == change->before && moment < change->ended);
    if (!is_right)
        fail_msg("moment %zu of %zu, %s: it is neither as before nor as after", moment,
                 change->ended, disk_loss_name(loss));
    if (change->copy != 0 && script_contents(beside_store(image, "v1-backup")) != change->copy)
        fail_msg("moment %zu, %s: there is no whole copy", moment, disk_loss_name(loss));
    close_store(image);
    const char *fault = check(image);
    if (fault[0] != '\0')
        fail_msg("moment %zu, %s: %s", moment, disk_loss_name(loss), fault);
}

static void judge_all(struct rig *rig, const struct change *change, const char *what,
                      uint32_t *random)
{
    unsigned rounds = is_long() ? 20 : is_sanitized() ? 1 : 2;
    unsigned images = 0;

    for (size_t moment = disk_next_sync(change->begun);; moment = disk_next_sync(moment + 1)) {
        bool is_last = moment == SIZE_MAX;
        moment = is_last ? disk_now() : moment;
        for (unsigned i = 0; i < rounds * DISK_LOSS_COUNT; i++, images++) {
            enum disk_loss loss = (enum disk_loss)(i % DISK_LOSS_COUNT);
            disk_make_image(rig->image->folder, moment, loss, random);
            judge_change(rig, change, moment, loss);
        }
        if (is_last)
            break;
    }
    print_message("%u images of power cuts in %s\n", images, what);
}

/* A store with tasks, closed; nothing of it is recorded. */
static void make_store(struct rig *rig, uint32_t random)
{
    record(rig, random, 40, NULL);
    forget(rig);
}

static void a_power_cut_during_a_compaction_leaves_the_store(void **state)
{
    struct rig *rig = *state;
    struct store_compaction compaction;
    struct error error = {0};
    uint32_t random = seed();
    make_store(rig, random);
    uint64_t contents = script_contents(rig->store->path);
    struct change change = {.before = contents, .after = contents};

    disk_begin(rig->store->folder);
    change.begun = disk_now();
    assert_int_equal(store_compact(rig->store->path, &compaction, &error), 0);
    change.ended = disk_now();
    disk_end();

    judge_all(rig, &change, "a compaction", &random);
}

static void a_power_cut_during_an_import_leaves_all_of_it_or_nothing(void **state)
{
    struct rig *rig = *state;
    struct store_exchange counts;
    struct error error = {0};
    uint32_t random = seed();
    struct change change = {.before = 0};
    make_store(rig, random);
    int fd = (int)memfd_create("export", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(store_export(rig->store->path, fd, &counts, &error), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    disk_empty(rig->store->folder);
    assert_int_equal(script_open(rig->store, &error), 0);
    change.before = script_contents(rig->store->path);
    close_store(rig->store);

    disk_begin(rig->store->folder);
    change.begun = disk_now();
    assert_int_equal(store_import(rig->store->path, fd, &counts, &error), 0);
    change.ended = disk_now();
    disk_end();
    change.after = script_contents(rig->store->path);

    assert_int_equal(close(fd), 0);
    assert_int_not_equal(change.after, change.before);
    judge_all(rig, &change, "an import", &random);
}

/* tests/integration/stores/v1.tar.gz, in place of the store. */
static void unpack_store_of_version_1(struct fixture *fixture)
{
    const char *source = getenv("RUNNEL_SOURCE");
    char archive[512];
    int status = 0;

    (void)snprintf(archive, sizeof(archive), "%s/tests/integration/stores/v1.tar.gz",
                   source == NULL ? "." : source);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)execlp("tar", "tar", "-xzf", archive, "-C", fixture->folder, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_power_cut_during_an_upgrade_leaves_the_store_and_its_copy(void **state)
{
    struct rig *rig = *state;
    struct error error = {0};
    uint32_t random = seed();
    struct change change = {.before = 0};
    unpack_store_of_version_1(rig->store);
    change.copy = script_contents(rig->store->path);
    assert_int_not_equal(change.copy, 0);

    disk_begin(rig->store->folder);
    change.begun = disk_now();
    assert_int_equal(script_open(rig->store, &error), 0);
    change.ended = disk_now();
    change.after = script_contents(rig->store->path);
    close_store(rig->store);
    disk_end();

    judge_all(rig, &change, "an upgrade", &random);
}

/* A start that is cut short, after a stop that was. */
static void a_power_cut_during_the_start_after_one_leaves_the_store(void **state)
{
    struct rig *rig = *state;
    struct error error = {0};
    uint32_t random = seed();
    record(rig, random, 60, NULL);
    size_t moment = rig->script->steps[rig->script->count - 1].ended;
    disk_make_image(rig->image->folder, moment, DISK_ALL, &random);
    forget(rig);
    struct fixture *cut = rig->image; // once
    struct change change = {.before = 0};

    disk_begin(cut->folder);
    change.begun = disk_now();
    assert_int_equal(script_open(cut, &error), 0);
    change.before = script_contents(cut->path);
    assert_int_equal(script_recover(cut, &error), 0);
    assert_int_equal(store_start(cut->store, &error), 0);
    change.ended = disk_now();
    change.after = script_contents(cut->path);
    close_store(cut);
    disk_end();

    rig->image = rig->store; // twice
    rig->store = cut;
    judge_all(rig, &change, "a start after one", &random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define POWER_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        POWER_TEST(whatever_a_power_cut_leaves_is_the_store_as_it_was_answered),
        POWER_TEST(a_power_cut_during_the_start_after_one_leaves_the_store),
        POWER_TEST(a_power_cut_during_a_compaction_leaves_the_store),
        POWER_TEST(a_power_cut_during_an_import_leaves_all_of_it_or_nothing),
        POWER_TEST(a_power_cut_during_an_upgrade_leaves_the_store_and_its_copy),
        POWER_TEST(a_disk_that_does_not_sync_is_found_out),
    };
    log_init(LOG_LEVEL_ERR);
    return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
