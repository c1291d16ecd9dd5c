#ifndef APUS_CSANDBOX_H
#define APUS_CSANDBOX_H
#include <stdint.h>

// Starts a program that may touch nothing but one folder: no shell, an empty environment, /dev/null as its input, no
// descriptors but the three, limits, no privileges, and killed with the thread that started it.

// What a started program is held by, beside limits and no_new_privs, which are always there.
enum {
    // A user without rights (only a daemon that is root can change it).
    APUS_HELD_BY_USER = 1,
    // Its own network (empty) and System V objects.
    APUS_HELD_BY_NAMESPACES = 2,
    // A file tree of its own: the system's libraries read-only, and the folder.
    APUS_HELD_BY_MOUNTS = 4,
    // Landlock: the same in another way, which needs no privilege.
    APUS_HELD_BY_LANDLOCK = 8,
    // A seccomp filter: no sockets, no processes, no mounts, no tracing.
    APUS_HELD_BY_SECCOMP = 16,
};

struct apus_confinement {
    // An absolute path.
    const char *program;
    // NULL-terminated, the program's name first.
    char *const *arguments;
    // An absolute path; the program's working directory. `root`, an empty folder, is where its file tree is put together.
    const char *folder;
    const char *root;
    // Who it runs as where the daemon is root.
    uint32_t user, group;
    // Limits: address space, CPU time, bytes of a file.
    uint64_t memory_bytes, cpu_seconds, file_bytes;
    // Layers to do without, for tests.
    int without;
};

// Answers the process, which leads its own group, or minus an errno: nothing runs then. `output` and `errors` become the
// reading, non-blocking ends of its standard output and error; `held` what it is held by.
int apus_confined_start(const struct apus_confinement *what, int *output, int *errors, int *held);
// Kills the group and reaps the process: afterwards there is none. Answers the status as wait(2) tells it, or minus an errno.
int apus_confined_end(int process);
// Reaps it if it has ended: 1 and the status, and its number may then be another's; 0 if it still runs.
int apus_confined_poll(int process, int *status);
#endif
