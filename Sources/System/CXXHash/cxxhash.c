// The baseline build of XXH3 (SSE2 on x86-64, NEON on aarch64), and the choice between the two.

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cxxhash.h"

_Static_assert(APUS_XXH3_SECRET_BYTES == XXH3_SECRET_DEFAULT_SIZE, "the long-input path reads this many bytes of secret");

typedef uint64_t (*hash_function)(const void *, size_t, const void *);

uint64_t apus_xxh3_64_baseline(const void *bytes, size_t count, const void *secret) {
    return XXH3_64bits_withSecret(bytes, count, secret, APUS_XXH3_SECRET_BYTES);
}

// Correct from the first instruction; the constructor only makes it quicker.
static hash_function chosen = apus_xxh3_64_baseline;

__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) chosen = apus_xxh3_64_avx2;
#endif
}

uint64_t apus_xxh3_64(const void *bytes, size_t count, const void *secret) {
    return chosen(bytes, count, secret);
}

int apus_xxh3_uses_avx2(void) {
    return chosen == apus_xxh3_64_avx2;
}

void apus_xxh3_public_secret(void *secret) {
    XXH3_generateSecret_fromSeed(secret, 0);
}
