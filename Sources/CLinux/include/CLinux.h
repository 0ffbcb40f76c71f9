// What Swift cannot call by itself: macros, variadic functions, _GNU_SOURCE names.
//
// One block for each family of calls. Every function that can fail answers -errno, read at once,
// and tries again by itself when a signal interrupted it (EINTR): the one place where that is done.
//
// What needs _GNU_SOURCE is in CLinux.c. Were it defined here, this module would have other versions
// of the C library's types than Swift's own module of it, which a clean build refuses.
#ifndef CLINUX_H
#define CLINUX_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
// Without this header, which Debian has in systemtap-sdt-dev, there are no probes, and all else works.
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#else
#define DTRACE_PROBE1(provider, name, a) ((void)(a))
#define DTRACE_PROBE2(provider, name, a, b) ((void)(a), (void)(b))
#define DTRACE_PROBE4(provider, name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

// MARK: - Memory

/// memfd_create(2): shared memory behind a descriptor, closed on exec.
int clinux_memfd_create(const char *name);

/// fallocate(2) in its default mode: memory for the range, or -ENOSPC / -ENOMEM and nothing else.
int clinux_provision(int fd, off_t offset, off_t length);

/// fallocate(2), FALLOC_FL_PUNCH_HOLE: gives the memory of the range back; it reads as zeroes.
int clinux_punch(int fd, off_t offset, off_t length);

/// futex(2), FUTEX_WAIT: sleeps until it is woken, if the lower half of a 64-bit word has a value.
/// Returns as well when it has another, and when a signal comes.
void clinux_futex_wait(void *word, uint32_t value);

/// futex(2), FUTEX_WAKE: wakes so many threads that sleep on the lower half of a word.
void clinux_futex_wake(void *word, int count);

/// mmap(2) of a part of a descriptor, shared, readable and writable, at an address that is a multiple
/// of alignment (a power of two, of pages): large pages want that. NULL when it fails, with errno in
/// *error.
void *clinux_map_shared(int fd, off_t offset, size_t length, size_t alignment, int *error);

/// mmap(2) of memory of one's own that counts against nothing until it is touched.
static inline void *clinux_map_private(size_t length, int writable, int *error) {
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) { *error = errno; return NULL; }
    return base;
}

/// mmap(2) of memory of one's own out of the pool of reserved large pages, MAP_HUGETLB: ENOMEM when
/// the pool has too few. The length is a multiple of theirs.
static inline void *clinux_map_reserved(size_t length, int *error) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) { *error = errno; return NULL; }
    return base;
}

/// madvise(2), MADV_POPULATE_WRITE (Linux 5.14): page tables for the range, so that no first touch
/// faults later. -EINVAL where the kernel is older, also for a length of 0.
static inline int clinux_populate(void *base, size_t length) {
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    return madvise(base, length, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
}

/// The same by hand: a byte of each 4 KiB is written as it is.
static inline void clinux_touch(void *base, size_t length) {
    volatile unsigned char *bytes = (volatile unsigned char *)base;
    for (size_t i = 0; i < length; i += 4096) bytes[i] = bytes[i];
}

/// madvise(2), MADV_HUGEPAGE: large pages, where the kernel has some.
static inline int clinux_prefer_huge_pages(void *base, size_t length) {
    return madvise(base, length, MADV_HUGEPAGE) < 0 ? -errno : 0;
}

/// mlockall(2), MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT; -EPERM when the process has a limit for
/// locked memory that it may not exceed.
int clinux_lock_process(void);

/// mlockall(2), MCL_FUTURE: later mappings are populated; threads that ask for no size of stack get 1 MiB.
int clinux_lock_what_comes(void);

/// prctl(2), PR_SET_IO_FLUSHER, for the calling thread and those it will make.
int clinux_become_flusher(void);

// MARK: - Files that are memory

/// fstatfs(2): 1 when an open file or directory is in a tmpfs, 2 when in a hugetlbfs, 0 when neither;
/// with the file system's page size in *page.
int clinux_memory_kind(int fd, uint64_t *page);

/// open(2), O_TMPFILE: a file in a directory that has no name yet, and goes with its descriptor.
int clinux_open_unnamed(const char *directory);

/// linkat(2) of such a file's descriptor: a name for it; -EEXIST when somebody has that name.
int clinux_name(int fd, const char *path);

/// open(2) of what has a name already, for reading and writing; never through a symbolic link, and
/// never waiting for what is behind a pipe.
static inline int clinux_open_named(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/// flock(2), exclusive: 0, or -EWOULDBLOCK when somebody else has it.
static inline int clinux_lock(int fd) {
    int result;
    do { result = flock(fd, LOCK_EX | LOCK_NB); } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

/// lseek(2), SEEK_DATA (data is 1) or SEEK_HOLE: where the next of it begins at or after an offset;
/// -ENXIO when there is none.
off_t clinux_seek(int fd, off_t offset, int data);

// MARK: - Copying

/// memcpy(3) past the caches, where the processor can: whole cache lines of the target are written
/// without having been read first, and push nothing else out. The ranges must not overlap.
static inline void clinux_copy_past_cache(void *target, const void *source, size_t count) {
#ifdef __SSE2__
    unsigned char *to = (unsigned char *)target;
    const unsigned char *from = (const unsigned char *)source;
    size_t head = -(uintptr_t)to & 63;
    if (head > count) head = count;
    memcpy(to, from, head);
    to += head, from += head, count -= head;
    for (; count >= 64; to += 64, from += 64, count -= 64) {
        __m128i line[4];
        for (int i = 0; i < 4; i++) line[i] = _mm_loadu_si128((const __m128i *)from + i);
        for (int i = 0; i < 4; i++) _mm_stream_si128((__m128i *)to + i, line[i]);
    }
    // Such writes are not in order with others: whoever learns that the copy is done must see it.
    _mm_sfence();
    memcpy(to, from, count);
#else
    memcpy(target, source, count);
#endif
}

// MARK: - Sockets

/// recvmsg(2): bytes received, 0 at the end, or -errno: -EAGAIN when there is nothing and no wish to
/// wait.
static inline ssize_t clinux_receive(int fd, struct iovec *vectors, size_t count, int blocking) {
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = count };
    ssize_t result;
    do { result = recvmsg(fd, &message, blocking ? 0 : MSG_DONTWAIT); } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

/// sendmsg(2) without SIGPIPE: bytes sent, or -errno: -EAGAIN when there is no room and no wish to
/// wait.
static inline ssize_t clinux_send(int fd, struct iovec *vectors, size_t count, int blocking) {
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = count };
    int flags = blocking ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t result;
    do {
        result = sendmsg(fd, &message, flags);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

/// fcntl(2), O_NONBLOCK: whether calls that name no wish about waiting wait.
static inline int clinux_set_blocking(int fd, int blocking) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

/// setsockopt(2), TCP_ULP: TLS by the kernel, which waits for its keys.
int clinux_tls_attach(int fd);

/// setsockopt(2), TLS_TX or TLS_RX: the keys of one direction of a TLS 1.2 session with AES-GCM. The key has 16
/// or 32 bytes, the salt 4, the number of the next record 8.
int clinux_tls_set_keys(
    int fd, int is_sending, const uint8_t *key, size_t key_size, const uint8_t *salt,
    const uint8_t *sequence);

/// sendmsg(2), TLS_SET_RECORD_TYPE: the alert that says that there is no more to come. Does not wait.
int clinux_tls_close_notify(int fd);

/// recvmsg(2), TLS_GET_RECORD_TYPE: the type of the next record, which is taken away, and its first two
/// bytes (zero where it is shorter); or -errno.
int clinux_tls_other_record(int fd, uint8_t start[2]);

/// socket(2) for a stream, closed on exec.
static inline int clinux_stream_socket(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/// accept4(2), without the peer's address, closed on exec; -EAGAIN when nobody waits.
int clinux_accept(int fd);

/// getsockopt(2), SO_PEERCRED: who connected a Unix socket.
int clinux_peer_credentials(int fd, int *process, uint32_t *user, uint32_t *group);

/// getsockopt(2), SO_PEERGROUPS (Linux 4.13): supplementary groups of who connected a Unix socket;
/// answers how many, or -ERANGE when there is no room for all.
static inline int clinux_peer_groups(int fd, uint32_t *groups, size_t capacity) {
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
    socklen_t length = (socklen_t)(capacity * sizeof *groups);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) {
        // An older kernel does not know, and a pair of sockets has none.
        return errno == ENOPROTOOPT || errno == ENODATA ? 0 : -errno;
    }
    return (int)(length / sizeof *groups);
}

/// getsockopt(2) with a number.
static inline int clinux_get_option(int fd, int level, int name, int *value) {
    socklen_t length = sizeof *value;
    return getsockopt(fd, level, name, value, &length) < 0 ? -errno : 0;
}

/// fchownat(2) and chmod(2) of a socket's file; -1 leaves the user, group or mode as it is.
int clinux_set_file_access(const char *path, int64_t user, int64_t group, int64_t mode);

/// renameat2(2), RENAME_NOREPLACE, or link(2) and unlink(2) where the file system does not know that:
/// -EEXIST when there is a file at the new path.
int clinux_move_to_new(const char *from, const char *to);

/// fcntl(2): never waits, and is closed on exec.
static inline int clinux_make_listener(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/// socketpair(2) of Unix streams, closed on exec.
static inline int clinux_socket_pair(int *first, int *second) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
    *first = ends[0];
    *second = ends[1];
    return 0;
}

/// setsockopt(2) with a number.
static inline int clinux_set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

/// poll(2) for input on several descriptors; marks[i] says whether the i-th has some (or has ended).
/// The time is in milliseconds, -1 for ever. Answers how many are ready.
static inline int clinux_wait_readable(const int *fds, uint8_t *marks, size_t count, int timeout) {
    struct pollfd polls[64];
    if (count > 64) return -EINVAL;
    for (size_t i = 0; i < count; i++) polls[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
    int ready = poll(polls, count, timeout);
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    for (size_t i = 0; i < count; i++) marks[i] = polls[i].revents != 0;
    return ready;
}

/// Which sockets of a list are shut down in both directions. A slot is a descriptor plus one, or 0 for none;
/// other threads may change slots meanwhile. Returns 2 when the slot `own` is, else 1 when another one
/// is (also when poll(2) fails, since then nothing is known), else 0.
static inline int clinux_hang_ups(const uint64_t *slots, size_t count, size_t own) {
    struct pollfd polls[64];
    size_t places[64];
    nfds_t members = 0;
    if (count > 64) return 1;
    // Members only: poll(2) refuses more entries than the process may have descriptors.
    for (size_t i = 0; i < count; i++) {
        uint64_t slot = __atomic_load_n(&slots[i], __ATOMIC_ACQUIRE);
        if (slot == 0) continue;
        places[members] = i;
        polls[members++] = (struct pollfd){ .fd = (int)slot - 1, .events = 0 };
    }
    int ready = poll(polls, members, 0);
    if (ready <= 0) return ready < 0 ? 1 : 0;
    int others = 0;
    for (nfds_t i = 0; i < members; i++) {
        if (!(polls[i].revents & (POLLHUP | POLLERR))) continue;
        if (places[i] == own) return 2;
        // A member that has left meanwhile has nothing more to change.
        if (__atomic_load_n(&slots[places[i]], __ATOMIC_ACQUIRE) == (uint64_t)polls[i].fd + 1) others = 1;
    }
    return others;
}

/// poll(2) for room to send, or the end; how many (0 or 1). The time is in milliseconds.
static inline int clinux_wait_writable(int fd, int timeout) {
    struct pollfd entry = { .fd = fd, .events = POLLOUT };
    int ready = poll(&entry, 1, timeout);
    return ready < 0 ? (errno == EINTR ? 0 : -errno) : ready;
}

/// poll(2) for input (1, or the end) and for room to send (2), whichever comes first; the sum of what
/// there is, 0 when the time in milliseconds (-1: no limit) was over or a signal came.
static inline int clinux_wait_either(int fd, int timeout) {
    struct pollfd entry = { .fd = fd, .events = POLLIN | POLLOUT };
    int ready = poll(&entry, 1, timeout);
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    int input = entry.revents & (POLLIN | POLLHUP | POLLERR) ? 1 : 0;
    return input | (entry.revents & POLLOUT ? 2 : 0);
}

/// sync_file_range(2): writes all dirty pages of a file, and waits for that.
int clinux_write_dirty_pages(int fd);

/// open(2), O_DIRECT
int clinux_direct_flag(void);

/// setrlimit(2), RLIMIT_NOFILE: as many descriptors as this process may allow itself.
static inline int clinux_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

// MARK: - Netlink

/// socket(2), AF_NETLINK and NETLINK_GENERIC, closed on exec.
int clinux_netlink_socket(void);

/// recvmsg(2) of one datagram that the kernel itself has sent: its bytes, or -EMSGSIZE when it is
/// longer than there is room.
ssize_t clinux_netlink_receive(int fd, void *bytes, size_t count);

// MARK: - Handing descriptors over

/// socketpair(2) of Unix sockets that keep messages whole, closed on exec.
static inline int clinux_control_pair(int *first, int *second) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
    *first = ends[0];
    *second = ends[1];
    return 0;
}

/// sendmsg(2) of one message without SIGPIPE, with a descriptor (SCM_RIGHTS) unless it is -1. Waits
/// for room if that is wanted.
ssize_t clinux_send_message(int fd, const void *bytes, size_t count, int descriptor, int blocking);

/// recvmsg(2) of one message, and the descriptor that came with it, or -1 in its place.
ssize_t clinux_receive_message(int fd, void *bytes, size_t count, int *descriptor);

// MARK: - Processes

/// posix_spawnp(3) of a program, with fds[i] as its descriptor i (-1: /dev/null) and no other, no
/// signal blocked or ignored, and if wanted in a session of its own. Answers its number.
int clinux_spawn(
    const char *program, char *const arguments[], const int *fds, size_t count, int session);

/// posix_spawnp(3) with these arguments, and with `count` settings ("NAME=value") beside or in place of
/// what the environment has. Signals are not blocked in the child, and do there what they do by default.
int clinux_spawn_command(char *const *arguments, char *const *settings, size_t count, pid_t *process);

/// fcntl(2), F_DUPFD_CLOEXEC: another descriptor for the same, above the standard ones.
static inline int clinux_duplicate(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

/// pidfd_open(2) (Linux 5.3): a descriptor that becomes readable when the process has ended.
int clinux_process_descriptor(int process);

/// waitpid(2) until a child has ended: its exit code, or 256 and the number of the signal that
/// ended it.
int clinux_wait_process(int process);

// MARK: - Waiting

/// poll(2) on several descriptors; marks[i] says whether the i-th is ready: for input (or its end)
/// where inputs[i] is set, else for a hang-up alone. The time is in milliseconds, -1 for ever.
static inline int clinux_wait_any(
    const int *fds, const uint8_t *inputs, uint8_t *marks, size_t count, int timeout
) {
    struct pollfd polls[64];
    if (count > 64) return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        polls[i] = (struct pollfd){ .fd = fds[i], .events = inputs[i] ? POLLIN : 0 };
    }
    int ready = poll(polls, count, timeout);
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    for (size_t i = 0; i < count; i++) marks[i] = polls[i].revents != 0;
    return ready;
}

// MARK: - The program's own image

/// madvise(2), MADV_DONTNEED, for what nobody writes to in the program's file: code that only the start
/// has run, and what the dynamic linker has read there; some megabytes.
void clinux_forget_start(void);

// MARK: - Probes

// Each is one instruction that does nothing, until a tracer puts a breakpoint in its place; a note in
// the binary says where it is and in which registers its arguments are. (USDT)

/// A connection was taken in: its number.
static inline void clinux_probe_connection_open(uint64_t connection) {
    DTRACE_PROBE1(ramdisk_nbd, connection_open, connection);
}

/// A connection has ended: its number, and how many requests it had.
static inline void clinux_probe_connection_close(uint64_t connection, uint64_t requests) {
    DTRACE_PROBE2(ramdisk_nbd, connection_close, connection, requests);
}

/// A request was received whole: connection, command, offset, length.
static inline void clinux_probe_request_received(
    uint64_t connection, uint64_t command, uint64_t offset, uint64_t length
) {
    DTRACE_PROBE4(ramdisk_nbd, request_received, connection, command, offset, length);
}

/// A request's reply was sent: connection, command, error, nanoseconds since it was received.
static inline void clinux_probe_request_done(
    uint64_t connection, uint64_t command, uint64_t error, uint64_t nanoseconds
) {
    DTRACE_PROBE4(ramdisk_nbd, request_done, connection, command, error, nanoseconds);
}

// MARK: - Waking up

/// eventfd(2), non-blocking, closed on exec.
static inline int clinux_event_create(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

// MARK: - Terminals

/// ioctl_tty(2), TIOCGWINSZ: how large the terminal is, in characters.
int clinux_window_size(int fd, int *columns, int *rows);

// MARK: - Threads

/// pthread_create(3) with a stack of so many bytes and every signal blocked: signals are for the
/// thread that watches for them, never for one that moves data.
static inline int clinux_thread_start(
    pthread_t *thread, size_t stack, void *(*body)(void *), void *context
) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return -error;
    pthread_attr_setstacksize(&attributes, stack);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, &attributes, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

/// pthread_sigmask(3), SIG_BLOCK, for the calling thread and those that it will make.
void clinux_block_signals(const int32_t *numbers, size_t count);

/// sigwaitinfo(2): the number of the next of these signals, which are blocked; -1 when something
/// else came in between.
int clinux_next_signal(const int32_t *numbers, size_t count);

/// sigaction(2): whether a signal is ignored.
int clinux_is_ignored(int number);

/// pthread_setname_np(3) for the calling thread; at most 15 characters.
void clinux_thread_name(const char *name);

/// sched_setscheduler(2) for the calling thread: SCHED_RR with the lowest real-time priority, which
/// threads that it makes do not inherit, or SCHED_OTHER.
int clinux_set_real_time(int wanted);

/// sched_setaffinity(2) for the calling thread and the threads it will make; mask[i] is whether
/// processor i may be used.
int clinux_bind_processors(const uint8_t *mask, size_t count);

// MARK: - Time

/// clock_nanosleep(2), CLOCK_MONOTONIC, until a moment in nanoseconds.
static inline void clinux_sleep_until(uint64_t nanoseconds) {
    struct timespec moment = {
        .tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) == EINTR) {}
}

/// clock_gettime(2), CLOCK_THREAD_CPUTIME_ID, in nanoseconds.
static inline uint64_t clinux_thread_nanoseconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/// clock_gettime(2), CLOCK_MONOTONIC, in nanoseconds.
static inline uint64_t clinux_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/// Tells the processor that this is a spinning wait.
static inline void clinux_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
