/** \file
 * Damaged stores: bits that flipped, pages that are gone, files that end early. Whatever it is, the
 * check and the daemon end in order, with 65 and a sentence where they can't go on; and what the
 * check finds nothing in, the daemon serves.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stores.h"

/* A small generator of its own, so that a seed makes the same damage everywhere. */
static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static const char *damage_bits(int fd, off_t size, uint32_t *random)
{
    unsigned count = 1 + next(random) % 16;

    for (unsigned i = 0; i < count; i++) {
        off_t at = (off_t)(next(random) % (uint32_t)size);
        unsigned char byte = 0;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte = (unsigned char)(byte ^ 1u << next(random) % 8);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    return plain_text("%u bits", count);
}

static const char *damage_head(int fd, off_t size, uint32_t *random)
{
    // The file's own head, and that of each page's tree, are what everything else hangs on.
    off_t page = (off_t)(next(random) % (uint32_t)(size / 4096)) * 4096;
    off_t at = page + (off_t)(next(random) % 100);
    unsigned char byte = (unsigned char)next(random);

    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    return plain_text("byte %lld", (long long)at);
}

static const char *damage_page(int fd, off_t size, uint32_t *random)
{
    char page[4096];
    off_t to = (off_t)(next(random) % (uint32_t)(size / 4096)) * 4096;
    off_t from = (off_t)(next(random) % (uint32_t)(size / 4096)) * 4096;

    memset(page, 0, sizeof(page));
    if (next(random) % 2 == 0)
        assert_int_equal(pread(fd, page, sizeof(page), from), (ssize_t)sizeof(page));
    assert_int_equal(pwrite(fd, page, sizeof(page), to), (ssize_t)sizeof(page));
    return plain_text("page at %lld", (long long)to);
}

static const char *damage_end(int fd, off_t size, uint32_t *random)
{
    off_t end = (off_t)(next(random) % (uint32_t)size);

    assert_int_equal(ftruncate(fd, end), 0);
    return plain_text("end at %lld", (long long)end);
}

/* Damages the database, or its log; says how. */
static const char *damage(struct daemon *daemon, uint32_t *random)
{
    static const char *(*const sorts[])(int fd, off_t size, uint32_t *random) = {
        damage_bits, damage_head, damage_page, damage_end};
    bool is_log = next(random) % 4 == 0;
    const char *path = is_log ? plain_text("%s-wal", daemon->store_path) : daemon->store_path;
    struct stat status;

    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    const char *how = sorts[next(random) % 4](fd, status.st_size, random);
    assert_int_equal(close(fd), 0);
    return plain_text("%s of the %s", how, is_log ? "log" : "database");
}

/* Everything that there is to read is asked for. */
static void read_all(struct daemon *daemon)
{
    struct client *client = daemon->client;
    static const char *const paths[] = {"/v1/tasks?limit=1000&view=full", "/v1/queues",
                                        "/v1/tasks/3?wait=100ms", "/v1/tasks/17", "/v1/stats"};

    client_take_any(client); // args that bits were flipped in are no JSON
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct reply *reply =
            client_call(client, &(struct request){.method = "GET", .path = paths[i]});
        reply_free(reply);
    }
}

/* Whether the daemon serves the store. Where it can't, it says so and ends with 65. */
static bool serves(struct daemon *daemon, const char *what)
{
    daemon_launch(daemon);
    bool is_ready = daemon_await_ready(daemon);
    if (is_ready) {
        read_all(daemon);
        if (!daemon_ends(daemon, 0))
            daemon_signal(daemon, SIGTERM);
    }
    int status = daemon_await_end(daemon, 60000);
    bool is_in_order = status == 0 || status == 65;
    bool is_told = status == 0 || daemon_log_count(daemon, "level=err") > 0;
    if (!is_in_order || !is_told)
        fail_msg("%s: the daemon ended with %d", what, status);
    return is_ready && status == 0;
}

static void a_damaged_store_is_refused_or_served_and_nothing_crashes(void)
{
    const char *seed_text = getenv("RUNNEL_SEED");
    uint32_t first = seed_text == NULL ? 4711 : (uint32_t)number_in(seed_text, NULL);
    unsigned rounds = is_long() ? 2000 : is_sanitized() ? 50 : 200;
    unsigned refused = 0;
    unsigned served = 0;
    struct daemon *daemon = daemon_new(stores_config);

    print_message("seeds from %u on (RUNNEL_SEED)\n", first);
    for (unsigned i = 0; i < rounds; i++) {
        uint32_t random = first + i;
        stores_unpack(daemon, "v1");
        for (unsigned warm = 0; warm < 8; warm++)
            (void)next(&random);
        const char *what = plain_text("seed %u, %s", first + i, damage(daemon, &random));
        struct run run = run_program(
            (const char *[]){daemon_program(), "-c", daemon->config_path, "--check-store", NULL},
            NULL, 60000 * slow());

        if (run.status != 0 && run.status != 65)
            fail_msg("%s: the check ended with %d: %s", what, run.status, run.err);
        if (run.status == 65 && run.err[0] == '\0' && strstr(run.out, " faults\n") == NULL)
            fail_msg("%s: the check gave no reason", what);
        bool is_served = serves(daemon, what);
        if (run.status == 0 && !is_served)
            fail_msg("%s: the check found nothing, and the daemon does not serve it", what);
        refused += run.status == 65;
        served += run.status == 0;
        (void)unlink(plain_text("%s-v1-backup", daemon->store_path));
        (void)unlink(plain_text("%s-v1-backup.part", daemon->store_path));
    }
    print_message("%u refused by the check, %u sound\n", refused, served);
    assert_true(refused > rounds / 4);
}

HARNESS_MAIN(SCENARIO(a_damaged_store_is_refused_or_served_and_nothing_crashes))
