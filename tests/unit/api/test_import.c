/* POST /v1/import over an engine that has no room for what would be made of it: what fails before
 * gives the only place back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "fault.h"
#include "unit.h"

#define LINES "Content-Type: application/x-ndjson\r\n"

static void expect_no_room(struct rig *rig)
{
    expect_problem(request(rig, "POST", "/v1/import", LINES, "{}"), 507, "store-full", NULL);
}

static void without_room_it_is_refused_and_the_next_one_is_looked_at(void **state)
{
    struct rig *rig = *state;

    expect_no_room(rig);
    expect_no_room(rig);
    // Without a body too.
    expect_problem(request(rig, "POST", "/v1/import", NULL, NULL), 507, "store-full", NULL);
}

static void without_a_thread_it_is_refused(void **state)
{
    struct rig *rig = *state;

    fault_fail_pthread_create(1);
    struct reply reply = request(rig, "POST", "/v1/import", LINES, "{}");

    assert_true(fault_reached());
    expect_problem(reply, 503, "busy", NULL);
    expect_no_room(rig);
}

static void a_body_that_can_not_be_written_is_refused(void **state)
{
    struct rig *rig = *state;

    // A file that is full; whoever else writes meanwhile may be hit as well.
    fault_fail_from(FAULT_WRITE, 1, ENOSPC);
    struct reply reply = request(rig, "POST", "/v1/import", LINES, "{}");

    assert_true(fault_reached());
    expect_problem(reply, 507, "store-full", NULL);
    expect_no_room(rig);
}

static void without_memory_it_is_refused_and_holds_nothing(void **state)
{
    static char reply[1 << 16];
    struct rig *rig = *state;

    for (int nth = 1;; nth++) {
        char text[400];
        int fd = client_connect(rig);
        (void)snprintf(
            text, sizeof(text),
            "POST /v1/import HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n" LINES
            "Idempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}",
            rig->port);
        fault_fail_malloc(nth);
        client_text(fd, text);
        client_read_all(fd, reply, sizeof(reply));
        bool reached = fault_reached();
        (void)close(fd);
        int status = reply[0] != '\0' ? status_of(reply) : 0;
        assert_true(status == 0 || status == 503 || status == 507);
        if (!reached) {
            assert_int_equal(status, 507);
            break;
        }
    }
    expect_no_room(rig);
    assert_int_equal(rig_memory(rig), 0);
}

int main(void)
{
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_RIG(without_room_it_is_refused_and_the_next_one_is_looked_at),
        ON_RIG(without_a_thread_it_is_refused),
        ON_RIG(a_body_that_can_not_be_written_is_refused),
        ON_RIG(without_memory_it_is_refused_and_holds_nothing),
    };
    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
