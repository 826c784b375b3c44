/* Another configuration in a running engine: all of it, or, when memory or threads fail, nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/core.h"
#include "fault.h"
#include "unit.h"

struct rig {
    char folder[64];
    struct engine *engine;
};

static struct config *load(struct rig *rig, const char *text)
{
    char path[128];
    struct config *config = NULL;
    struct config_fault *faults = NULL;
    size_t count = 0;

    snprintf(path, sizeof(path), "%s/test.conf", rig->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "store = \"test.db\";\n%s", text);
    assert_int_equal(fclose(file), 0);
    struct config_options options = {.path = path, .builtins = runner_builtins()};
    int r = config_load(&options, &config, &faults, &count);
    if (r < 0 && count > 0)
        print_error("%u: %s\n", faults[0].line, faults[0].text);
    assert_int_equal(r, 0);
    free(faults);
    return config;
}

static const char begin[] =
    "queue: { default: { workers = 2 }; gone: { workers = 1 }; };\n"
    "kind: { echo: { builtin = \"echo\" }; gone: { builtin = \"noop\" }; };\n";
static const char changed[] =
    "max_backlog = 77;\nqueue: { more: { workers = 3; rate = \"5/s\"; burst = 2 };\n"
    "  default: { workers = 6 }; extra: { workers = 1 }; };\n"
    "kind: { echo: { builtin = \"noop\" }; new: { builtin = \"echo\" }; };\n";

static int setup(void **state)
{
    const char *base = getenv("TMPDIR");
    struct rig *rig = calloc(1, sizeof(*rig));
    struct error error = {0};

    *state = rig;
    log_init(LOG_LEVEL_ERR);
    snprintf(rig->folder, sizeof(rig->folder), "/tmp/runnel-reload-XXXXXX");
    if (base != NULL && strlen(base) < 30)
        snprintf(rig->folder, sizeof(rig->folder), "%s/runnel-reload-XXXXXX", base);
    assert_non_null(mkdtemp(rig->folder));
    struct config *config = load(rig, begin);
    assert_int_equal(engine_new(config, &rig->engine, &error), 0);
    config_unref(config);
    assert_int_equal(engine_start(rig->engine, &error), 0);
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    static const char *const names[] = {
        "test.conf",    "test.db",         "test.db-wal",     "test.db-shm",
        "test.db-lock", "test.db-ballast", "test.db-running", NULL};
    char path[160];

    assert_int_equal(engine_drain(rig->engine), 0);
    engine_stop(rig->engine);
    engine_free(rig->engine);
    for (size_t i = 0; names[i] != NULL; i++) {
        snprintf(path, sizeof(path), "%s/%s", rig->folder, names[i]);
        (void)unlink(path);
    }
    snprintf(path, sizeof(path), "%s/test.db-work", rig->folder);
    (void)rmdir(path);
    (void)rmdir(rig->folder);
    free(rig);
    return 0;
}

static unsigned threads_of(struct engine *engine, const char *queue)
{
    const struct queue *found = engine_find_queue(engine, queue, false);
    return found == NULL || found->service == NULL ? 0 : rn_service_workers(found->service);
}

static struct engine_queue shown(struct engine *engine, const char *name)
{
    struct engine_queue queue;
    assert_int_equal(engine_queue_get(engine, name, &queue), 0);
    return queue;
}

static void expect_begin(struct engine *engine)
{
    const struct config *config = engine_config_ref(engine);
    assert_non_null(config_kind_find(config, "gone"));
    assert_null(config_kind_find(config, "new"));
    config_unref(config);
    assert_int_equal(threads_of(engine, "default"), 2);
    assert_int_equal(threads_of(engine, "gone"), 1);
    assert_int_equal(shown(engine, "default").workers, 2);
    assert_true(shown(engine, "gone").is_configured);
    assert_null(engine_find_queue(engine, "more", false));
    assert_null(engine_find_queue(engine, "extra", false));
    assert_null(engine_kind_counts(engine, "new"));
}

static void expect_changed(struct engine *engine)
{
    const struct config *config = engine_config_ref(engine);
    assert_null(config_kind_find(config, "gone"));
    assert_string_equal(config_kind_find(config, "echo")->builtin, "noop");
    assert_non_null(config_kind_find(config, "new"));
    config_unref(config);
    assert_int_equal(threads_of(engine, "default"), 6);
    assert_int_equal(threads_of(engine, "gone"), 0);
    assert_int_equal(threads_of(engine, "more"), 3);
    assert_string_equal(shown(engine, "more").rate, "5/s");
    assert_int_equal(shown(engine, "more").burst, 2);
    assert_true(shown(engine, "more").tokens > 1.9); // a new bucket is full
    assert_false(shown(engine, "gone").is_configured);
    assert_non_null(engine_kind_counts(engine, "new"));
    assert_non_null(engine_kind_counts(engine, "gone")); // they go on when it is back
}

static void all_of_it_is_put_in_force(void **state)
{
    struct rig *rig = *state;
    struct config_changes changes;
    struct error error = {0};
    const struct engine_kind_counts *echo = engine_kind_counts(rig->engine, "echo");
    struct config *config = load(rig, changed);

    assert_int_equal(engine_reload(rig->engine, config, &changes, &error), 0);
    config_unref(config);

    expect_changed(rig->engine);
    assert_ptr_equal(engine_kind_counts(rig->engine, "echo"), echo);
    assert_int_equal(changes.of[CONFIG_KINDS_ADDED].count, 1);
    struct engine_queue *queues = NULL;
    size_t count = 0;
    assert_int_equal(engine_queues(rig->engine, &queues, &count), 0);
    assert_int_equal(count, 4);
    assert_string_equal(queues[0].name, "more");
    assert_string_equal(queues[1].name, "default");
    assert_string_equal(queues[2].name, "extra");
    assert_string_equal(queues[3].name, "gone");
    free(queues);
}

/* Until a reload is taken: what fails then, if anything, comes behind the switch. */
static void fail_each(struct rig *rig, enum fault_call call, int error_number)
{
    struct config *to = load(rig, changed);
    unsigned failed = 0;

    for (int nth = 1; nth < 1000; nth++) {
        struct config_changes changes;
        struct error error = {0};
        fault_fail(call, nth, error_number);
        int r = engine_reload(rig->engine, to, &changes, &error);
        fault_reset();
        if (r == 0)
            break;
        failed++;
        assert_true(error.text[0] != '\0');
        expect_begin(rig->engine);
        struct engine_configuration told;
        engine_configuration(rig->engine, &told);
        assert_string_equal(told.last_error, error.text);
        assert_true(told.last_error_at_ms > 0);
    }
    assert_true(failed > 0);
    expect_changed(rig->engine);
    struct engine_configuration told;
    engine_configuration(rig->engine, &told);
    assert_string_equal(told.last_error, "");
    config_unref(to);
}

static void without_memory_nothing_changes(void **state)
{
    fail_each(*state, FAULT_MALLOC, ENOMEM);
}

static void without_threads_nothing_changes(void **state)
{
    fail_each(*state, FAULT_PTHREAD_CREATE, EAGAIN);
}

static void a_refused_load_is_remembered_until_one_is_taken(void **state)
{
    struct rig *rig = *state;
    struct engine_configuration told;
    struct config_changes changes;
    struct error error = {0};

    engine_reload_refused(rig->engine, "test.conf:3: wrong");
    engine_configuration(rig->engine, &told);
    assert_string_equal(told.last_error, "test.conf:3: wrong");
    assert_true(told.last_error_at_ms > 0);
    struct config *config = load(rig, begin);
    assert_int_equal(engine_reload(rig->engine, config, &changes, &error), 0);
    engine_configuration(rig->engine, &told);
    assert_string_equal(told.last_error, "");
    assert_int_equal(told.last_error_at_ms, 0);
    assert_int_equal(told.loaded_at_ms, config->loaded_at_ms);
    config_unref(config);
}

static void the_names_of_kinds_are_bounded(void **state)
{
    struct rig *rig = *state;
    enum { KINDS = 2501, ROUNDS = 8, LINE = 48 };
    const size_t size = (size_t)(KINDS + 2) * LINE;
    char *text = calloc(1, size);
    struct config_changes changes;
    struct error error = {0};
    int r = 0;

    assert_non_null(text);
    for (unsigned round = 0; round < ROUNDS && r == 0; round++) {
        size_t used =
            (size_t)snprintf(text, size, "queue: { default: { workers = 2 }; };\nkind: {\n");
        for (unsigned i = 0; i < KINDS; i++)
            used += (size_t)snprintf(text + used, size - used, "k%u-%u: { builtin = \"noop\" };\n",
                                     round, i);
        (void)snprintf(text + used, size - used, "};\n");
        struct config *config = load(rig, text);
        r = engine_reload(rig->engine, config, &changes, &error);
        config_unref(config);
        assert_int_equal(r, round < ROUNDS - 1 ? 0 : -EMSGSIZE);
    }
    assert_non_null(strstr(error.text, "restart"));
    assert_non_null(engine_kind_counts(rig->engine, "k6-0"));
    assert_null(engine_kind_counts(rig->engine, "k7-0"));
    free(text);
}

static void the_store_gives_signs_of_life(void **state)
{
    struct rig *rig = *state;
    rn_time until = rn_after(60 * RN_SECOND);

    uint64_t before = engine_beat(rig->engine);
    while (engine_beat(rig->engine) < before + 3 && rn_now() < until)
        assert_int_equal(rn_sleep(NULL, RN_MILLISECOND), 0); // nobody announces the answer
    assert_true(engine_beat(rig->engine) >= before + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_of_it_is_put_in_force, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(without_threads_nothing_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_load_is_remembered_until_one_is_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_names_of_kinds_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(the_store_gives_signs_of_life, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
