#ifndef APUS_CLINUX_H
#define APUS_CLINUX_H
// What glibc hides behind _GNU_SOURCE, which Swift's importer does not define.
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Names the calling thread (at most 15 bytes) for ps and debuggers; 0 or an errno.
int apus_name_thread(const char *name);

// File system calls relative to a folder's descriptor. Each answers a non-negative result, or minus an errno;
// EINTR is retried where the call may be.

// Opens a file, never following a symbolic link in its last part, close-on-exec, new files 0600.
int apus_file_open(int folder, const char *path, int writable, int create, int direct);
// Opens a folder for listing and syncing; `folder` may be AT_FDCWD by passing apus_cwd().
int apus_folder_open(int folder, const char *path, int follow);
int apus_cwd(void);
// Makes a folder 0700; success when a folder (not a link to one) is there already.
int apus_folder_make(int folder, const char *path);
int apus_rename(int folder, const char *from, const char *to);
int apus_unlink(int folder, const char *path);
// Exclusive advisory lock, without waiting.
int apus_lock(int fd);
// A read that is served from memory or refused with EAGAIN.
ssize_t apus_read_cached(int fd, void *buffer, size_t count, int64_t offset);
ssize_t apus_read(int fd, void *buffer, size_t count, int64_t offset);
ssize_t apus_write(int fd, const void *buffer, size_t count, int64_t offset);
int apus_data_sync(int fd);
int apus_full_sync(int fd);
// Reserves blocks from the start of the file up to `size`, growing the file to it.
int apus_allocate(int fd, int64_t size);
int apus_truncate(int fd, int64_t size);
/// Turns glibc's merging of small free blocks at each larger allocation off.
void apus_tune_allocator(void);

/// Where `needle` first occurs in `hay`, or -1: in time that grows with the sum of their lengths, not the product.
int64_t apus_find(const void *hay, size_t hay_length, const void *needle, size_t needle_length);

int64_t apus_size(int fd);
/// Where the last data of a file ends, unwritten reservations not counted; its size where the file system can't tell.
int64_t apus_data_end(int fd);
// Starts reading a range into the page cache; a hint, without a result.
void apus_prefetch(int fd, int64_t offset, size_t length);
// Tells the kernel to drop clean cached pages of the whole file.
void apus_drop_cache(int fd);
int apus_space(int fd, int64_t *free_bytes, int64_t *total_bytes);
void apus_close(int fd);

// Calls `each` with every name in the folder but "." and "..". Takes the descriptor over.
int apus_folder_list(int fd, void *context, void (*each)(void *context, const char *name));
#endif
