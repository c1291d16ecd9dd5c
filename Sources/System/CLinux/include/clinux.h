#ifndef APUS_CLINUX_H
#define APUS_CLINUX_H
// What glibc hides behind _GNU_SOURCE, which Swift's importer does not define.
#include <stddef.h>
#include <sys/types.h>

// Names the calling thread (at most 15 bytes) for ps and debuggers; 0 or an errno.
int apus_name_thread(const char *name);
#endif
