/* The store for tests of damage. */
#include "rich.h"

#include "stores.h"

static const char more_config[] =
    "drain_timeout = '0s';\n"
    "queue: { default: { workers = 2; on_failure = 'echo' }; parked: { workers = 1 };"
    " side: { workers = 1; rate = '1000/s' }; other: { workers = 1 }; };\n"
    "kind: {\n"
    "  echo: { builtin = 'echo' };\n"
    "  first: { builtin = 'echo'; on_success = 'echo' };\n"
    "  wait: { builtin = 'sleep'; if_interrupted = 'fail'; max_attempts = 2 };\n"
    "  nap: { builtin = 'sleep' };\n"
    "  hello: { command = ['/bin/echo', '--', '{name}'] };\n"
    "  fails: { command = ['/bin/false']; max_attempts = 3; backoff = { base = '1ms'; max = '1ms' "
    "} };\n"
    "  later: { command = ['/bin/false']; max_attempts = 5; backoff = { base = '1h'; max = '1h' } "
    "};\n"
    "};\n";

const char *rich_beside(const char *path, const char *suffix)
{
    return plain_text("%s%s", path, suffix);
}

static void copy_file(const char *from, const char *to)
{
    struct run run = run_program((const char *[]){"cp", "--", from, to, NULL}, NULL, 20000);

    if (run.status != 0)
        fail_msg("%s", run.err);
}

struct daemon *rich_new(void)
{
    struct daemon *daemon = daemon_new(more_config);
    const char *large = repeated('x', 3000);

    stores_unpack(daemon, "v1");
    daemon_start(daemon);
    (void)expect_end(daemon, submit(daemon, "{'kind':'first','args':{'a':1},'tags':['x','y']}"),
                     "succeeded", NULL);
    (void)expect_end(daemon, submit(daemon, "{'kind':'fails','tags':['x']}"), "failed", "exit");
    (void)submit(daemon,
                 "{'kind':'echo','queue':'parked','args':'%s','expires_at':"
                 "'2200-01-01T00:00:00Z','priority':-100}",
                 large);
    (void)expect_status(
        call_request(daemon,
                     &(struct request){
                         .method = "POST",
                         .path = "/v1/tasks",
                         .body = "{\"kind\":\"echo\",\"queue\":\"parked\",\"priority\":100}",
                         .headers = (const char *[]){"traceparent: 00-0123456789abcdef0123456789"
                                                     "abcdef-0123456789abcdef-01",
                                                     "Idempotency-Key: four", NULL}}),
        201);
    (void)await_state(daemon, submit(daemon, "{'kind':'later','queue':'other'}"), "retrying");
    uint64_t wait =
        submit(daemon, "{'kind':'wait','queue':'side','args':{'duration':'1h'},'tags':['z']}");
    uint64_t nap = submit(daemon, "{'kind':'nap','queue':'other','args':{'duration':'1h'}}");
    (void)await_state(daemon, wait, "running");
    (void)await_state(daemon, nap, "running");
    daemon_kill(daemon);
    stores_change(daemon->store_path,
                  "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE");
    copy_file(daemon->store_path, rich_beside(daemon->folder, "/rich.db"));
    copy_file(rich_beside(daemon->store_path, "-running"),
              rich_beside(daemon->folder, "/rich.running"));
    struct run run =
        run_program((const char *[]){daemon_program(), "-c", daemon->config_path, "--export",
                                     rich_beside(daemon->folder, "/rich.lines"), NULL},
                    NULL, 20000);
    if (run.status != 0)
        fail_msg("%s", run.err);
    return daemon;
}

void rich_unpack(struct daemon *daemon)
{
    daemon_forget(daemon);
    copy_file(rich_beside(daemon->folder, "/rich.db"), daemon->store_path);
    copy_file(rich_beside(daemon->folder, "/rich.running"),
              rich_beside(daemon->store_path, "-running"));
}
