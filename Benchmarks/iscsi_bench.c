// A load for iSCSI targets, over libiscsi: so many commands in flight for so many seconds; prints operations and seconds.
//
//   iscsi_bench URL read|write  random|sequential  BYTES DEPTH SECONDS FLUSH_EVERY
//
// FLUSH_EVERY: 0 never; 1: a SYNCHRONIZE CACHE behind each write, which counts as part of it; n: one after each n bytes
// written, which everything waits for.
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct iscsi_context *iscsi;
static int lun, is_write, is_random, depth, in_flight, stopping;
static uint32_t block_bytes, blocks_per_op;
static uint64_t unit_count, next_unit, done, failed, flush_every, since_flush, seed = 88172645463325252ull;
static unsigned char *data;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static uint64_t next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void start(void);

static void end_of(int status) {
    if (status == SCSI_STATUS_GOOD) done++;
    else failed++;
    in_flight--;
    if (!stopping) start();
}

static void flushed(struct iscsi_context *context, int status, void *command, void *private_data) {
    (void)context;
    (void)private_data;
    scsi_free_scsi_task(command);
    end_of(status);
}

static void finished(struct iscsi_context *context, int status, void *command, void *private_data) {
    (void)context;
    (void)private_data;
    scsi_free_scsi_task(command);
    if (is_write && flush_every == 1 && status == SCSI_STATUS_GOOD) {
        if (!iscsi_synchronizecache10_task(iscsi, lun, 0, 0, 0, 0, flushed, NULL)) exit(3);
        return;
    }
    if (is_write && flush_every > 1 && (since_flush += (uint64_t)blocks_per_op * block_bytes) >= flush_every) {
        since_flush = 0;
        if (!iscsi_synchronizecache10_task(iscsi, lun, 0, 0, 0, 0, flushed, NULL)) exit(3);
        return;
    }
    end_of(status);
}

static void start(void) {
    uint64_t unit = is_random ? next_random() % unit_count : next_unit++ % unit_count;
    uint64_t lba = unit * blocks_per_op;
    uint32_t bytes = blocks_per_op * block_bytes;
    struct scsi_task *task;
    if (is_write) {
        // Other bytes each time, and none that compress.
        unsigned char *part = data + (next_random() % 4096) * 512;
        task = iscsi_write16_task(iscsi, lun, lba, part, bytes, block_bytes, 0, 0, 0, 0, 0, finished, NULL);
    } else {
        task = iscsi_read16_task(iscsi, lun, lba, bytes, block_bytes, 0, 0, 0, 0, 0, finished, NULL);
    }
    if (!task) exit(3);
    in_flight++;
}

static void turn(void) {
    struct pollfd p = {.fd = iscsi_get_fd(iscsi), .events = iscsi_which_events(iscsi)};
    poll(&p, 1, 1000);
    if (iscsi_service(iscsi, p.revents) < 0) {
        fprintf(stderr, "iscsi_bench: %s\n", iscsi_get_error(iscsi));
        exit(3);
    }
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: iscsi_bench URL read|write random|sequential BYTES DEPTH SECONDS FLUSH_EVERY\n");
        return 2;
    }
    is_write = !strcmp(argv[2], "write");
    is_random = !strcmp(argv[3], "random");
    uint32_t bytes = atoi(argv[4]);
    depth = atoi(argv[5]);
    double seconds = atof(argv[6]);
    flush_every = strtoull(argv[7], NULL, 10);
    iscsi = iscsi_create_context("iqn.2026-01.org.apus:bench");
    struct iscsi_url *url = iscsi_parse_full_url(iscsi, argv[1]);
    if (!url) return fprintf(stderr, "%s\n", iscsi_get_error(iscsi)), 2;
    iscsi_set_targetname(iscsi, url->target);
    iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(iscsi, ISCSI_HEADER_DIGEST_NONE);
    if (url->user[0]) iscsi_set_initiator_username_pwd(iscsi, url->user, url->passwd);
    lun = url->lun;
    if (iscsi_full_connect_sync(iscsi, url->portal, lun)) return fprintf(stderr, "%s\n", iscsi_get_error(iscsi)), 2;
    struct scsi_task *task = iscsi_readcapacity16_sync(iscsi, lun);
    struct scsi_readcapacity16 *capacity = task ? scsi_datain_unmarshall(task) : NULL;
    if (!capacity) return fprintf(stderr, "READ CAPACITY: %s\n", iscsi_get_error(iscsi)), 2;
    block_bytes = capacity->block_length;
    blocks_per_op = bytes / block_bytes;
    unit_count = (capacity->returned_lba + 1) / blocks_per_op;
    scsi_free_scsi_task(task);
    data = malloc(4096 * 512 + bytes);
    for (uint64_t i = 0; i + 8 <= 4096 * 512 + (uint64_t)bytes; i += 8) {
        uint64_t word = next_random();
        memcpy(data + i, &word, 8);
    }
    seed ^= (uint64_t)(now() * 1e9);
    double began = now();
    for (int i = 0; i < depth; i++) start();
    while (now() - began < seconds) turn();
    double elapsed = now() - began;
    uint64_t counted = done;
    stopping = 1;
    while (in_flight > 0) turn();
    printf("%llu %.6f %llu\n", (unsigned long long)counted, elapsed, (unsigned long long)failed);
    iscsi_logout_sync(iscsi);
    return failed ? 1 : 0;
}
