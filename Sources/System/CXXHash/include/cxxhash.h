#ifndef APUS_CXXHASH_H
#define APUS_CXXHASH_H

#include <stddef.h>
#include <stdint.h>

// XXH3-64 under a secret of exactly APUS_XXH3_SECRET_BYTES bytes (xxHash's XXH3_64bits_withSecret). The header-only
// library is compiled here rather than linked, since the shared one is built for SSE2 and half as fast.
#define APUS_XXH3_SECRET_BYTES 192

/// By the quickest path that this processor has.
uint64_t apus_xxh3_64(const void *_Nonnull bytes, size_t count, const void *_Nonnull secret);

/// By the path that every processor of the architecture has.
uint64_t apus_xxh3_64_baseline(const void *_Nonnull bytes, size_t count, const void *_Nonnull secret);

/// By AVX2; the baseline where it is missing.
uint64_t apus_xxh3_64_avx2(const void *_Nonnull bytes, size_t count, const void *_Nonnull secret);

/// Whether `apus_xxh3_64` is the AVX2 path.
int apus_xxh3_uses_avx2(void);

/// The secret that makes the result equal the unkeyed XXH3 of everybody's tools. For tests.
void apus_xxh3_public_secret(void *_Nonnull secret);

#endif
