#include "ccrc32.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u

// tables[k][b] is the effect of byte b followed by k zero bytes, so that eight bytes take eight look-ups.
static uint32_t tables[8][256];

typedef uint32_t (*crc_function)(const void *, size_t, uint32_t);
static crc_function chosen = apus_crc32c_tables;

uint32_t apus_crc32c_tables(const void *bytes, size_t count, uint32_t before) {
    const uint8_t *p = bytes;
    uint32_t crc = ~before;
    while (count >= 8) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = tables[7][crc & 255] ^ tables[6][crc >> 8 & 255] ^ tables[5][crc >> 16 & 255] ^ tables[4][crc >> 24]
            ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
        p += 8;
        count -= 8;
    }
    while (count-- > 0) crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 255];
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(const void *bytes, size_t count, uint32_t before) {
    const uint8_t *p = bytes;
    uint64_t crc = (uint32_t)~before;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = _mm_crc32_u64(crc, word);
        p += 8;
        count -= 8;
    }
    uint32_t rest = (uint32_t)crc;
    while (count-- > 0) rest = _mm_crc32_u8(rest, *p++);
    return ~rest;
}
#endif

// Runs before main, hence before any second thread.
__attribute__((constructor)) static void prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (int zeros = 1; zeros < 8; zeros++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = tables[zeros - 1][byte];
            tables[zeros][byte] = crc >> 8 ^ tables[0][crc & 255];
        }
    }
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2")) chosen = crc32c_sse42;
#endif
}

uint32_t apus_crc32c(const void *bytes, size_t count, uint32_t before) {
    return chosen(bytes, count, before);
}
