/* Writes down, in order, all that a process does to the files below one folder, so that a test can rebuild what a disk
 * would hold had the power failed at any moment. Preloaded; see power_cut.py for the format and the model. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_FDS 1024
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static uint64_t inode_of[MOST_FDS]; /* of descriptors below the folder, else 0 */
static const char *folder;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
    folder = getenv("POWER_CUT_FOLDER");
    const char *log = getenv("POWER_CUT_LOG");
    if (folder && log) log_fd = REAL(open)(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static void put(const void *data, size_t size) {
    if (REAL(write)(log_fd, data, size) != (ssize_t)size) abort();
}

static void note(char what, uint64_t inode, uint64_t at, const void *data, uint64_t size) {
    put(&what, 1), put(&inode, 8), put(&at, 8), put(&size, 8);
    if (size) put(data, size);
}

static int below(const char *path) {
    return log_fd >= 0 && path && !strncmp(path, folder, strlen(folder));
}

static int opened(int fd, const char *path, int flags) {
    struct stat now;
    if (fd < 0 || fd >= MOST_FDS || !below(path) || fstat(fd, &now)) return fd;
    inode_of[fd] = now.st_ino;
    if (!S_ISDIR(now.st_mode)) {
        note('O', now.st_ino, 0, path, strlen(path));
        if (flags & O_TRUNC) note('T', now.st_ino, 0, "", 0);
    }
    return fd;
}

#define OPEN(name)                                                  \
    int name(const char *path, int flags, ...) {                    \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                               \
        return opened(REAL(name)(path, flags, mode), path, flags);  \
    }
OPEN(open)
OPEN(open64)

int openat(int at, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(REAL(openat)(at, path, flags, mode), path, flags);
}

int close(int fd) {
    if (fd >= 0 && fd < MOST_FDS) inode_of[fd] = 0;
    return REAL(close)(fd);
}

static uint64_t known(int fd) { return fd >= 0 && fd < MOST_FDS ? inode_of[fd] : 0; }

ssize_t write(int fd, const void *data, size_t size) {
    off_t at = known(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = REAL(write)(fd, data, size);
    if (known(fd) && done > 0) note('W', known(fd), at, data, done);
    return done;
}

#define PWRITE(name, type)                                              \
    ssize_t name(int fd, const void *data, size_t size, type at) {      \
        ssize_t done = REAL(name)(fd, data, size, at);                  \
        if (known(fd) && done > 0) note('W', known(fd), at, data, done); \
        return done;                                                    \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, type)                               \
    int name(int fd, type size) {                          \
        int failed = REAL(name)(fd, size);                 \
        if (known(fd) && !failed) note('T', known(fd), size, "", 0); \
        return failed;                                     \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                        \
    int name(int fd) {                                    \
        struct stat now;                                  \
        if (known(fd) && !fstat(fd, &now))                \
            note(S_ISDIR(now.st_mode) ? 'D' : 'S', known(fd), 0, "", 0); \
        return 0; /* the model keeps what was synced; the disk of this machine need not */ \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    int failed = REAL(unlink)(path);
    if (!failed && below(path)) note('U', 0, 0, path, strlen(path));
    return failed;
}

int rename(const char *from, const char *to) {
    int failed = REAL(rename)(from, to);
    if (!failed && below(to)) {
        char both[8192];
        int size = snprintf(both, sizeof both, "%s\n%s", from, to);
        note('R', 0, 0, both, size);
    }
    return failed;
}
