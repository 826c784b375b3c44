/*
 * Checksums of all files below folders, as cksum(1) prints them, on all processors: a pipeline of a
 * source that walks, a stage with a width that reads and sums, and a sink that prints in the order
 * of the walk. Ctrl-C ends it at once. When standard error is a terminal, and standard output is
 * not, a line shows how far it is.
 *
 *     checksum FOLDER…
 *
 * Exit status: 0; 1 a file could not be read, the others are printed; 130 after Ctrl-C.
 *
 * Who owns a path: the source makes it, each stage passes it on with its element, the sink frees
 * it; those that are on the way when the pipeline ends early are freed by drop_path and drop_sum.
 */
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/runnel.h>

enum { CHUNK_BYTES = 64 * 1024, STAGES_BEFORE_PRINT = 2 };

/* What a run has in common. */
struct run {
    char **folders;
    rn_pipeline *pipeline;
    uint32_t table[256];     // of the CRC; set before the pipeline runs
    _Atomic uint64_t bytes;  // summed so far
    _Atomic unsigned errors; // folders and files that could not be read
};

/* What the stage "sum" makes out of a path. */
struct sum {
    char *path;
    int error; // of reading it
    uint32_t crc;
    uint64_t size; // bytes
};

// ---- The checksum of POSIX: CRC-32 of the bytes, then of their number

static void make_table(uint32_t table[static 256])
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte << 24;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc << 1) ^ ((crc >> 31) != 0 ? 0x04c11db7U : 0);
        table[byte] = crc;
    }
}

static uint32_t add_byte(const uint32_t table[static 256], uint32_t crc, uint8_t byte)
{
    return (crc << 8) ^ table[(crc >> 24) ^ byte];
}

static uint32_t finish(const uint32_t table[static 256], uint32_t crc, uint64_t size)
{
    for (; size != 0; size >>= 8)
        crc = add_byte(table, crc, (uint8_t)size);
    return ~crc;
}

// ---- The stages

static int compare(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int emit_path(const char *path, rn_emitter *emitter)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    int r = rn_emit(emitter, &copy);
    if (r < 0)
        free(copy);
    return r;
}

static int walk(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    struct run *run = arg;
    int r = 0;
    FTSENT *entry;

    // Threads share the working directory, so the walk must not change it.
    FTS *fts = fts_open(run->folders, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, compare);
    if (fts == NULL)
        return -errno;
    while (r == 0 && (entry = fts_read(fts)) != NULL) {
        if (entry->fts_info == FTS_F) {
            r = emit_path(entry->fts_path, emitter);
        } else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS ||
                   entry->fts_info == FTS_ERR) {
            fprintf(stderr, "checksum: %s: %s\n", entry->fts_path, rn_strerror(-entry->fts_errno));
            run->errors++;
        }
        if (r == 0)
            r = rn_context_err(ctx);
    }
    fts_close(fts);
    return r;
}

/* Reads the open file to its end; the error of reading is the file's, an end of ctx the pipeline's.
 */
static int sum_file(rn_context *ctx, struct run *run, int fd, struct sum *sum)
{
    uint8_t chunk[CHUNK_BYTES];
    ssize_t got;

    while ((got = read(fd, chunk, sizeof(chunk))) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum->crc = add_byte(run->table, sum->crc, chunk[i]);
        sum->size += (uint64_t)got;
        run->bytes += (uint64_t)got;
        if (rn_context_err(ctx) != 0)
            return rn_context_err(ctx);
    }
    sum->error = got < 0 ? -errno : 0;
    sum->crc = finish(run->table, sum->crc, sum->size);
    return 0;
}

static int sum_path(rn_context *ctx, void *arg, const void *in, void *out)
{
    struct sum *sum = out;
    int r = 0;

    *sum = (struct sum){.path = *(char *const *)in};
    int fd = open(sum->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        sum->error = -errno;
        return 0;
    }
    r = sum_file(ctx, arg, fd, sum);
    close(fd);
    if (r < 0)
        free(sum->path);
    return r;
}

static int print_sum(rn_context *ctx, void *arg, const void *in)
{
    struct run *run = arg;
    const struct sum *sum = in;
    int r = 0;

    (void)ctx;
    if (sum->error != 0) {
        fprintf(stderr, "checksum: %s: %s\n", sum->path, rn_strerror(sum->error));
        run->errors++;
    } else if (printf("%" PRIu32 " %" PRIu64 " %s\n", sum->crc, sum->size, sum->path) < 0) {
        r = -EIO;
    }
    free(sum->path);
    return r;
}

static void drop_path(void *arg, void *elem)
{
    (void)arg;
    free(*(char **)elem);
}

static void drop_sum(void *arg, void *elem)
{
    (void)arg;
    free(((struct sum *)elem)->path);
}

// ---- The line that shows how far it is

static void print_progress(const struct run *run)
{
    struct rn_stage_progress print;

    if (rn_pipeline_progress(run->pipeline, STAGES_BEFORE_PRINT, &print) == 0)
        fprintf(stderr, "\r%" PRIu64 " files, %" PRIu64 " bytes", print.out, run->bytes);
}

static int show_progress(rn_context *ctx, void *arg)
{
    rn_ticker *ticker;

    int r = rn_ticker_new(100 * RN_MILLISECOND, &ticker);
    if (r < 0)
        return r;
    while ((r = rn_chan_recv(ctx, rn_ticker_chan(ticker), NULL)) == 0)
        print_progress(arg);
    rn_ticker_free(ticker);
    return 0;
}

/* Runs the pipeline, with the line beside it. */
static int run_pipeline(rn_context *ctx, struct run *run)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct rn_stage_options sums = {.width = processors > 0 ? (unsigned)processors : 1,
                                    .drop_fn = drop_path};
    struct rn_stage_options prints = {.drop_fn = drop_sum};
    bool shows = isatty(STDERR_FILENO) != 0 && isatty(STDOUT_FILENO) == 0;
    rn_group *group;

    int r = rn_group_new(NULL, &group);
    if (r < 0)
        return r;
    rn_pipeline_source(run->pipeline, "walk", sizeof(char *), walk, run);
    rn_pipeline_map(run->pipeline, "sum", sizeof(struct sum), sum_path, run, &sums);
    rn_pipeline_sink(run->pipeline, "print", print_sum, run, &prints);
    if (shows)
        r = rn_group_go(group, "progress", show_progress, run);
    if (r == 0)
        r = rn_pipeline_run(ctx, run->pipeline);
    rn_context_cancel(rn_group_context(group), 0);
    rn_group_wait(group);
    rn_group_free(group);
    if (shows) {
        print_progress(run);
        fputc('\n', stderr);
    }
    return r;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGINT, SIGTERM};
    static struct run run;
    rn_context *ctx = NULL;

    if (argc < 2) {
        fprintf(stderr, "usage: checksum FOLDER…\n");
        return 2;
    }
    run.folders = argv + 1;
    make_table(run.table);
    int r = rn_pipeline_new(&run.pipeline);
    if (r == 0)
        r = rn_context_with_signals(NULL, signals, 2, &ctx);
    if (r == 0)
        r = run_pipeline(ctx, &run);

    if (r == 0 && fflush(stdout) != 0)
        r = -errno;
    int status = run.errors > 0 ? 1 : 0;
    if (r == -ECANCELED) {
        status = 128 + rn_context_cause(ctx); // the signal
    } else if (r < 0) {
        const char *stage = rn_pipeline_failed_stage(run.pipeline);
        fprintf(stderr, "checksum: %s%s%s\n", stage != NULL ? stage : "", stage != NULL ? ": " : "",
                rn_strerror(r));
        status = 1;
    }
    rn_context_unref(ctx);
    rn_pipeline_free(run.pipeline);
    return status;
}
