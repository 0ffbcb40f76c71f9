// The shims whose functions the C library shows under _GNU_SOURCE only; the others are inline, in
// the header.
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/memfd.h>

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
