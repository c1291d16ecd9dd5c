// The AVX2 build of XXH3: only apus_xxh3_64 calls it, after it has looked at the processor.

#include "cxxhash.h"

#if defined(__x86_64__)

// The system's headers come before the attribute: their functions keep their own targets.
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#define XXH_VECTOR 2  // XXH_AVX2, a name that the header defines too late for us.
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#include <xxhash.h>

static uint64_t hash(const void *bytes, size_t count, const void *secret) {
    return XXH3_64bits_withSecret(bytes, count, secret, APUS_XXH3_SECRET_BYTES);
}
#pragma clang attribute pop

#if XXH_VECTOR != XXH_AVX2
#error "xxhash.h has renumbered its vector paths"
#endif

__attribute__((target("avx2"))) uint64_t apus_xxh3_64_avx2(const void *bytes, size_t count, const void *secret) {
    return hash(bytes, count, secret);
}

#else

uint64_t apus_xxh3_64_avx2(const void *bytes, size_t count, const void *secret) {
    return apus_xxh3_64_baseline(bytes, count, secret);
}

#endif
