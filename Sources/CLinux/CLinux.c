// The shims whose functions the C library shows under _GNU_SOURCE only; the others are inline, in
// the header.
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/memfd.h>
#include <sched.h>

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
