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
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
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

void apus_unlock(int fd) {
    int result;
    RETRY(result, flock(fd, LOCK_UN));
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

static int parse_address(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *length) {
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *length = sizeof *four;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *length = sizeof *six;
        return 0;
    }
    return -EINVAL;
}

int apus_tcp_listen(const char *host, uint16_t port, int backlog) {
    struct sockaddr_storage address;
    socklen_t length;
    int result = parse_address(host, port, &address, &length);
    if (result < 0) return result;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, backlog) != 0) {
        result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

int apus_tcp_accept(int fd) {
    int peer;
    RETRY(peer, accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (peer < 0) return -errno;
    int on = 1;
    (void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return peer;
}

int apus_tcp_name(int fd, int peer, char *host, uint16_t *port) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int result = peer ? getpeername(fd, (struct sockaddr *)&address, &length)
                      : getsockname(fd, (struct sockaddr *)&address, &length);
    if (result != 0) return -errno;
    if (address.ss_family == AF_INET) {
        struct sockaddr_in *four = (struct sockaddr_in *)&address;
        *port = ntohs(four->sin_port);
        return inet_ntop(AF_INET, &four->sin_addr, host, 64) ? 0 : -errno;
    }
    if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
        *port = ntohs(six->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
            return inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], host, 64) ? 0 : -errno;
        return inet_ntop(AF_INET6, &six->sin6_addr, host, 64) ? 0 : -errno;
    }
    return -EAFNOSUPPORT;
}

ssize_t apus_tcp_receive(int fd, void *buffer, size_t count) {
    ssize_t n;
    RETRY(n, recv(fd, buffer, count, MSG_DONTWAIT));
    return n < 0 ? -errno : n;
}

ssize_t apus_tcp_send(int fd, const struct iovec *parts, size_t count) {
    ssize_t n;
    if (count == 1) {
        RETRY(n, send(fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL));
        return n < 0 ? -errno : n;
    }
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    RETRY(n, sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    return n < 0 ? -errno : n;
}

void apus_tcp_finish(int fd) { (void)shutdown(fd, SHUT_WR); }
void apus_tcp_shutdown(int fd) { (void)shutdown(fd, SHUT_RDWR); }

int apus_event_make(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void apus_event_signal(int fd) {
    uint64_t one = 1;
    ssize_t n;
    RETRY(n, write(fd, &one, sizeof one));
    (void)n;
}

void apus_event_clear(int fd) {
    uint64_t count;
    ssize_t n;
    RETRY(n, read(fd, &count, sizeof count));
    (void)n;
}

int apus_wait(int fd, int input, int output, int event, int milliseconds) {
    struct pollfd polled[2] = {
        {.fd = event, .events = POLLIN},
        {.fd = fd, .events = (short)((input ? POLLIN : 0) | (output ? POLLOUT : 0))},
    };
    int n = poll(polled, 2, milliseconds);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    int result = 0;
    if (polled[0].revents) result |= APUS_SIGNALLED;
    if (polled[1].revents & POLLIN) result |= APUS_READABLE;
    if (polled[1].revents & POLLOUT) result |= APUS_WRITABLE;
    if (polled[1].revents & (POLLERR | POLLHUP | POLLNVAL)) result |= APUS_BROKEN;
    return result;
}

int apus_wait_many(const int *fds, size_t count, int event, int milliseconds) {
    struct pollfd polled[64];
    if (count > 63) return -EINVAL;
    polled[0] = (struct pollfd){.fd = event, .events = POLLIN};
    for (size_t i = 0; i < count; i++) polled[i + 1] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    int n = poll(polled, count + 1, milliseconds);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    return n > 0 ? 1 : 0;
}

int apus_thread_start(size_t stack, void *(*run)(void *), void *context) {
    pthread_attr_t attributes;
    pthread_t thread;
    int result = pthread_attr_init(&attributes);
    if (result) return result;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, stack);
    result = pthread_create(&thread, &attributes, run, context);
    (void)pthread_attr_destroy(&attributes);
    return result;
}
