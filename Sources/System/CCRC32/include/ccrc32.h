#ifndef APUS_CCRC32_H
#define APUS_CCRC32_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, reflected, as in RFC 3720) of the bytes, going on from the checksum of what came before
/// (0 at the start). By the processor's instruction where it has one.
uint32_t apus_crc32c(const void *_Nonnull bytes, size_t count, uint32_t before);

/// The same by tables only. For tests.
uint32_t apus_crc32c_tables(const void *_Nonnull bytes, size_t count, uint32_t before);

#endif
