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
// Gives the lock back at once, also where a child that is about to start holds a copy of the descriptor.
void apus_unlock(int fd);
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

// TCP, for threads that wait in poll. Answers as above.

struct iovec;

// A listening socket at a numeric address, close-on-exec and non-blocking.
int apus_tcp_listen(const char *host, uint16_t port, int backlog);
// The next connection: close-on-exec, non-blocking, small packets not held back.
int apus_tcp_accept(int fd);
// The numeric address of the socket's own end or its peer's; `host` has room for 64 bytes. IPv4 in IPv6 is told as IPv4.
int apus_tcp_name(int fd, int peer, char *host, uint16_t *port);
ssize_t apus_tcp_receive(int fd, void *buffer, size_t count);
// Never raises SIGPIPE.
ssize_t apus_tcp_send(int fd, const struct iovec *parts, size_t count);
// Sends nothing any more; what the peer sends can still be read.
void apus_tcp_finish(int fd);
// Ends both directions, so that whoever waits for the socket wakes up.
void apus_tcp_shutdown(int fd);

int apus_event_make(void);
void apus_event_signal(int fd);
// Takes all signals back.
void apus_event_clear(int fd);

enum { APUS_READABLE = 1, APUS_WRITABLE = 2, APUS_SIGNALLED = 4, APUS_BROKEN = 8 };
// Waits until the socket is readable (if `input`), writable (if `output`) or broken, or the event is signalled; a negative
// socket is not looked at. Answers which, 0 after `milliseconds` (negative: never).
int apus_wait(int fd, int input, int output, int event, int milliseconds);
// Waits until one of the sockets is readable or the event is signalled.
int apus_wait_many(const int *fds, size_t count, int event, int milliseconds);

// Starts a detached thread; 0 or an errno.
int apus_thread_start(size_t stack, void *(*run)(void *), void *context);

// Calls `each` with every name in the folder but "." and "..". Takes the descriptor over.
int apus_folder_list(int fd, void *context, void (*each)(void *context, const char *name));
#endif
