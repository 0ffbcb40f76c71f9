// The shims whose functions the C library shows under _GNU_SOURCE only; the others are inline, in
// the header.
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/memfd.h>
#include <sched.h>
#include <stdio.h>

int clinux_memfd_create(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int clinux_provision(int fd, off_t offset, off_t length) {
    int result;
    do { result = fallocate(fd, 0, offset, length); } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int clinux_punch(int fd, off_t offset, off_t length) {
    int result;
    do {
        result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int clinux_accept(int fd) {
    int accepted;
    do { accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC); } while (accepted < 0 && errno == EINTR);
    return accepted < 0 ? -errno : accepted;
}

int clinux_peer_credentials(int fd, int *process, uint32_t *user, uint32_t *group) {
    struct ucred found;
    socklen_t length = sizeof found;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &length) < 0) return -errno;
    *process = found.pid;
    *user = found.uid;
    *group = found.gid;
    return 0;
}

int clinux_set_file_access(const char *path, int64_t user, int64_t group, int64_t mode) {
    // The very file that is looked at is the one that is changed, whatever the path leads to later.
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat status;
    int result = fstat(fd, &status) < 0 ? -errno : S_ISSOCK(status.st_mode) ? 0 : -ENOTSOCK;
    if (result == 0 && (user >= 0 || group >= 0)
        && fchownat(fd, "", (uid_t)user, (gid_t)group, AT_EMPTY_PATH) < 0) result = -errno;
    if (result == 0 && mode >= 0) {
        // fchmod(2) does not take such a descriptor; its name in /proc stands for the file.
        char name[32];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if (chmod(name, (mode_t)mode) < 0) result = -errno;
    }
    close(fd);
    return result;
}

void clinux_thread_name(const char *name) {
    pthread_setname_np(pthread_self(), name);
}

int clinux_bind_processors(const uint8_t *mask, size_t count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < count; i++) {
        if (mask[i] && i >= CPU_SETSIZE) return -EINVAL;
        if (mask[i]) CPU_SET(i, &set);
    }
    return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}
