#define _GNU_SOURCE
#include "clinux.h"
#include <malloc.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

int apus_name_thread(const char *name) { return pthread_setname_np(pthread_self(), name); }

#define RETRY(result, call) \
    do { \
        result = (call); \
    } while (result < 0 && errno == EINTR)

int apus_file_open(int folder, const char *path, int writable, int create, int direct) {
    int flags = O_NOFOLLOW | O_CLOEXEC | (writable ? O_RDWR : O_RDONLY);
    if (create) flags |= O_CREAT;
    if (direct) flags |= O_DIRECT;
    int fd;
    RETRY(fd, openat(folder, path, flags, 0600));
    return fd < 0 ? -errno : fd;
}

int apus_folder_open(int folder, const char *path, int follow) {
    int fd;
    RETRY(fd, openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)));
    return fd < 0 ? -errno : fd;
}

int apus_cwd(void) { return AT_FDCWD; }

int apus_folder_make(int folder, const char *path) {
    if (mkdirat(folder, path, 0700) == 0) return 0;
    if (errno != EEXIST) return -errno;
    struct stat info;
    if (fstatat(folder, path, &info, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
    return S_ISDIR(info.st_mode) ? 0 : -ENOTDIR;
}

int apus_rename(int folder, const char *from, const char *to) {
    return renameat(folder, from, folder, to) == 0 ? 0 : -errno;
}

int apus_unlink(int folder, const char *path) { return unlinkat(folder, path, 0) == 0 ? 0 : -errno; }

int apus_lock(int fd) {
    int result;
    RETRY(result, flock(fd, LOCK_EX | LOCK_NB));
    return result < 0 ? -errno : 0;
}

ssize_t apus_read_cached(int fd, void *buffer, size_t count, int64_t offset) {
    struct iovec part = {buffer, count};
    ssize_t n;
    RETRY(n, preadv2(fd, &part, 1, offset, RWF_NOWAIT));
    return n < 0 ? -errno : n;
}

ssize_t apus_read(int fd, void *buffer, size_t count, int64_t offset) {
    ssize_t n;
    RETRY(n, pread(fd, buffer, count, offset));
    return n < 0 ? -errno : n;
}

ssize_t apus_write(int fd, const void *buffer, size_t count, int64_t offset) {
    ssize_t n;
    RETRY(n, pwrite(fd, buffer, count, offset));
    return n < 0 ? -errno : n;
}

// Never retried, not even after EINTR: a second call may report success for pages that the first one lost.
int apus_data_sync(int fd) { return fdatasync(fd) == 0 ? 0 : -errno; }
int apus_full_sync(int fd) { return fsync(fd) == 0 ? 0 : -errno; }

int apus_allocate(int fd, int64_t size) {
    int result;
    RETRY(result, fallocate(fd, 0, 0, size));
    return result < 0 ? -errno : 0;
}

int apus_truncate(int fd, int64_t size) {
    int result;
    RETRY(result, ftruncate(fd, size));
    return result < 0 ? -errno : 0;
}

int64_t apus_data_end(int fd) {
    off_t end = 0;
    // Reserved blocks that nothing was written to count as holes on every file system that reports any.
    for (int rounds = 0; rounds < 65536; rounds++) {
        off_t data = lseek(fd, end, SEEK_DATA);
        if (data < 0) {
            return errno == ENXIO ? end : -errno;
        }
        off_t hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0) {
            return -errno;
        }
        end = hole;
    }
    return -E2BIG;
}

int64_t apus_size(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 ? (int64_t)info.st_size : -errno;
}

void apus_drop_cache(int fd) { (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }

int apus_space(int fd, int64_t *free_bytes, int64_t *total_bytes) {
    struct statvfs info;
    int result;
    RETRY(result, fstatvfs(fd, &info));
    if (result < 0) return -errno;
    *free_bytes = (int64_t)info.f_bavail * (int64_t)info.f_frsize;
    *total_bytes = (int64_t)info.f_blocks * (int64_t)info.f_frsize;
    return 0;
}

void apus_close(int fd) { (void)close(fd); }

int apus_folder_list(int fd, void *context, void (*each)(void *context, const char *name)) {
    DIR *folder = fdopendir(fd);
    if (!folder) {
        int code = errno;
        close(fd);
        return -code;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        each(context, entry->d_name);
    }
    int code = errno;
    closedir(folder);
    return -code;
}

void apus_prefetch(int fd, int64_t offset, size_t length) {
    (void)posix_fadvise(fd, offset, (off_t)length, POSIX_FADV_WILLNEED);
}

int64_t apus_find(const void *hay, size_t hay_length, const void *needle, size_t needle_length) {
    const char *found = memmem(hay, hay_length, needle, needle_length);
    return found ? found - (const char *)hay : -1;
}

void apus_tune_allocator(void) { (void)mallopt(M_MXFAST, 0); }
