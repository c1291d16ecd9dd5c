#define _GNU_SOURCE
#include "csandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Everything between fork and exec is system calls: another thread may have held any lock when the process was copied.

// MARK: seccomp

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "which architecture is this?"
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)
#define REFUSE(call, code) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), ANSWER(SECCOMP_RET_ERRNO | (code))

static const struct sock_filter filter[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
    ANSWER(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
#if defined(__x86_64__)
    // The x32 table has the same calls under other numbers.
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
    ANSWER(SECCOMP_RET_KILL_PROCESS),
    REFUSE(fork, EPERM),
    REFUSE(vfork, EPERM),
#endif
    // Threads only. The newer call keeps its flags where no filter sees them; glibc falls back to the older one.
    REFUSE(clone3, ENOSYS),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
    ANSWER(SECCOMP_RET_ERRNO | EPERM),
    LOAD(nr),
    REFUSE(socket, EPERM),
    REFUSE(socketpair, EPERM),
    REFUSE(connect, EPERM),
    REFUSE(bind, EPERM),
    REFUSE(listen, EPERM),
    REFUSE(io_uring_setup, ENOSYS),
    REFUSE(ptrace, EPERM),
    REFUSE(process_vm_readv, EPERM),
    REFUSE(process_vm_writev, EPERM),
    REFUSE(pidfd_getfd, EPERM),
    REFUSE(pidfd_open, EPERM),
    REFUSE(unshare, EPERM),
    REFUSE(setns, EPERM),
    REFUSE(mount, EPERM),
    REFUSE(umount2, EPERM),
    REFUSE(pivot_root, EPERM),
    REFUSE(chroot, EPERM),
    REFUSE(fsopen, EPERM),
    REFUSE(open_tree, EPERM),
    REFUSE(move_mount, EPERM),
    REFUSE(bpf, EPERM),
    REFUSE(perf_event_open, EPERM),
    REFUSE(userfaultfd, EPERM),
    REFUSE(keyctl, EPERM),
    REFUSE(add_key, EPERM),
    REFUSE(request_key, EPERM),
    REFUSE(shmget, EPERM),
    REFUSE(msgget, EPERM),
    REFUSE(mq_open, EPERM),
    REFUSE(open_by_handle_at, EPERM),
    ANSWER(SECCOMP_RET_ALLOW),
};

static int hold_calls(void) {
    struct sock_fprog program = {sizeof filter / sizeof filter[0], (struct sock_filter *)filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

// MARK: Landlock

// The first version of the interface, and what later ones added of the same kind: TRUNCATE (3).
#define READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FIRST_VERSION ((1ULL << 13) - 1)
#define TRUNCATES (1ULL << 14)

static int allow_beneath(int rules, const char *path, uint64_t access) {
    int folder = open(path, O_PATH | O_CLOEXEC);
    // What isn't there needs no rule.
    if (folder < 0) return errno == ENOENT;
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = folder};
    long result = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(folder);
    return result == 0;
}

static int hold_files(const char *program) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) return 0;
    uint64_t truncates = version >= 3 ? TRUNCATES : 0;
    struct landlock_ruleset_attr handled = {.handled_access_fs = FIRST_VERSION | truncates};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
    if (rules < 0) return 0;
    static const char *const libraries[] = {"/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64"};
    int holds = 1;
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
        holds = holds && allow_beneath(rules, libraries[i], READS | LANDLOCK_ACCESS_FS_EXECUTE);
    holds = holds && allow_beneath(rules, "/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE);
    holds = holds && allow_beneath(rules, program, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE);
    holds = holds && allow_beneath(rules, ".", READS | LANDLOCK_ACCESS_FS_WRITE_FILE | truncates);
    holds = holds && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return holds;
}

// MARK: Namespaces

struct prepared {
    const struct apus_confinement *what;
    int is_root;
    char user_map[64], group_map[64];
    // Folders of the system and where they come to lie; the program's own file; the working folder.
    char from[5][16], to[5][512], program_folder[512], program[512], work[512];
};

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = write(file, text, strlen(text));
    close(file);
    return count == (ssize_t)strlen(text);
}

// Its user and group stay who they are, in a namespace in which it may mount.
static int own_users(const struct prepared *ready) {
    if (unshare(CLONE_NEWUSER) != 0) return 0;
    return put("/proc/self/setgroups", "deny") && put("/proc/self/uid_map", ready->user_map)
        && put("/proc/self/gid_map", ready->group_map);
}

static int make_folder(const char *path) { return mkdir(path, 0755) == 0 || errno == EEXIST; }

static int bind_folder(const char *from, const char *to, unsigned long flags) {
    return mount(from, to, NULL, MS_BIND | MS_REC, NULL) == 0
        && mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | flags, NULL) == 0;
}

// A file tree with nothing in it but what the program needs. Failing half-way, what was made is in a namespace that
// ends with the process, and the program sees the tree as it was.
static int own_mounts(const struct prepared *ready) {
    const char *root = ready->what->root;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 0;
    if (mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755") != 0) return 0;
    for (int i = 0; i < 5; i++) {
        struct stat info;
        if (stat(ready->from[i], &info) != 0) continue;
        if (!make_folder(ready->to[i]) || !bind_folder(ready->from[i], ready->to[i], MS_RDONLY)) return 0;
    }
    if (ready->program[0] != 0) {
        if (!make_folder(ready->program_folder)) return 0;
        int file = open(ready->program, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        if (file < 0) return 0;
        close(file);
        if (!bind_folder(ready->what->program, ready->program, MS_RDONLY)) return 0;
    }
    if (!make_folder(ready->work) || !bind_folder(ready->what->folder, ready->work, MS_NOEXEC)) return 0;
    if (chdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0) return 0;
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) == 0
        && chdir("/work") == 0;
}

// MARK: The child

static int limit(int which, uint64_t value) {
    struct rlimit bounds = {value, value};
    return setrlimit(which, &bounds) == 0;
}

struct report {
    int32_t code;
    int32_t held;
};

static void child(const struct prepared *ready, int parent, int report_to, int output, int errors, int null) {
    const struct apus_confinement *what = ready->what;
    struct report report = {0, 0};
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (setpgid(0, 0) != 0) goto failed;
    if (dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0) goto failed;
    // Each of the daemon's descriptors closes at exec; this is for those of libraries, and so that there is room for some.
    if (report_to != 3) {
        if (dup3(report_to, 3, O_CLOEXEC) < 0) goto failed;
        report_to = 3;
    }
    (void)syscall(SYS_close_range, 4, ~0U, 0);
    umask(077);
    if (chdir(what->folder) != 0) goto failed;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) goto failed;

    if (!(what->without & APUS_HELD_BY_NAMESPACES)) {
        int apart = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS;
        if ((ready->is_root || own_users(ready)) && unshare(apart) == 0) {
            report.held |= APUS_HELD_BY_NAMESPACES;
            if (!(what->without & APUS_HELD_BY_MOUNTS) && own_mounts(ready)) {
                report.held |= APUS_HELD_BY_MOUNTS;
            } else if (chdir(what->folder) != 0) {
                goto failed;
            }
        }
    }
    // Whoever is root stays it nowhere: this is no layer that may be missing.
    if (ready->is_root) {
        if (syscall(SYS_setgroups, 0, NULL) != 0) goto failed;
        if (syscall(SYS_setresgid, what->group, what->group, what->group) != 0) goto failed;
        if (syscall(SYS_setresuid, what->user, what->user, what->user) != 0) goto failed;
        report.held |= APUS_HELD_BY_USER;
    }
    // Behind the change of user, which takes it back. A parent that is gone by now would never be noticed.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) goto failed;
    if (getppid() != parent) _exit(127);
    if (!limit(RLIMIT_CORE, 0) || !limit(RLIMIT_NOFILE, 64) || !limit(RLIMIT_FSIZE, what->file_bytes)
        || !limit(RLIMIT_CPU, what->cpu_seconds) || !limit(RLIMIT_STACK, 1 << 20) || !limit(RLIMIT_MEMLOCK, 0)
        || !limit(RLIMIT_AS, what->memory_bytes))
        goto failed;
    if (!(what->without & APUS_HELD_BY_LANDLOCK) && hold_files(what->program)) report.held |= APUS_HELD_BY_LANDLOCK;
    if (!(what->without & APUS_HELD_BY_SECCOMP) && hold_calls()) report.held |= APUS_HELD_BY_SECCOMP;
    if (write(report_to, &report, sizeof report) != sizeof report) _exit(127);
    static char *const nothing[] = {NULL};
    (void)execve(what->program, what->arguments, nothing);
failed:
    report.code = errno;
    (void)!write(report_to, &report, sizeof report);
    _exit(127);
}

// MARK: The parent

static int prepare(struct prepared *ready, const struct apus_confinement *what) {
    memset(ready, 0, sizeof *ready);
    ready->what = what;
    ready->is_root = geteuid() == 0;
    (void)snprintf(ready->user_map, sizeof ready->user_map, "%u %u 1\n", geteuid(), geteuid());
    (void)snprintf(ready->group_map, sizeof ready->group_map, "%u %u 1\n", getegid(), getegid());
    static const char *const folders[] = {"/usr", "/lib", "/lib64", "/bin", "/sbin"};
    for (int i = 0; i < 5; i++) {
        (void)snprintf(ready->from[i], sizeof ready->from[i], "%s", folders[i]);
        int count = snprintf(ready->to[i], sizeof ready->to[i], "%s%s", what->root, folders[i]);
        if (count >= (int)sizeof ready->to[i]) return -ENAMETOOLONG;
    }
    if (snprintf(ready->work, sizeof ready->work, "%s/work", what->root) >= (int)sizeof ready->work)
        return -ENAMETOOLONG;
    // A program elsewhere is shown alone, one level deep; deeper, the tree is not made.
    if (strncmp(what->program, "/usr/", 5) == 0 || strncmp(what->program, "/bin/", 5) == 0) return 0;
    const char *last = strrchr(what->program, '/');
    if (!last || last == what->program || memchr(what->program + 1, '/', (size_t)(last - what->program - 1))) return 0;
    (void)snprintf(
        ready->program_folder, sizeof ready->program_folder, "%s%.*s", what->root, (int)(last - what->program),
        what->program);
    if (snprintf(ready->program, sizeof ready->program, "%s%s", what->root, what->program)
        >= (int)sizeof ready->program)
        return -ENAMETOOLONG;
    return 0;
}

int apus_confined_start(const struct apus_confinement *what, int *output, int *errors, int *held) {
    struct prepared ready;
    int result = prepare(&ready, what);
    if (result < 0) return result;
    int pipes[6] = {-1, -1, -1, -1, -1, -1};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0) return -errno;
    for (int i = 0; i < 6; i += 2) {
        if (pipe2(pipes + i, O_CLOEXEC) != 0) {
            result = -errno;
            goto end;
        }
    }
    int parent = getpid();
    int process = fork();
    if (process == 0) child(&ready, parent, pipes[5], pipes[1], pipes[3], null);
    if (process < 0) {
        result = -errno;
        goto end;
    }
    close(pipes[5]);
    pipes[5] = -1;
    // One report before exec, another only if exec failed.
    struct report report = {EIO, 0};
    for (;;) {
        struct report next;
        ssize_t count = read(pipes[4], &next, sizeof next);
        if (count < 0 && errno == EINTR) continue;
        if (count != sizeof next) break;
        report = next;
    }
    if (report.code != 0) {
        (void)apus_confined_end(process);
        result = -report.code;
        goto end;
    }
    *held = report.held;
    *output = pipes[0];
    *errors = pipes[2];
    (void)fcntl(*output, F_SETFL, O_NONBLOCK);
    (void)fcntl(*errors, F_SETFL, O_NONBLOCK);
    pipes[0] = pipes[2] = -1;
    result = process;
end:
    for (int i = 0; i < 6; i++) {
        if (pipes[i] >= 0) close(pipes[i]);
    }
    close(null);
    return result;
}

int apus_confined_end(int process) {
    // The group, and the process itself, for the moment before it has made the group.
    (void)kill(-process, SIGKILL);
    (void)kill(process, SIGKILL);
    for (;;) {
        int status;
        if (waitpid(process, &status, 0) == process) return status;
        if (errno != EINTR) return -errno;
    }
}

int apus_confined_poll(int process, int *status) {
    for (;;) {
        int result = waitpid(process, status, WNOHANG);
        if (result == process) return 1;
        if (result == 0) return 0;
        if (errno != EINTR) return -errno;
    }
}
