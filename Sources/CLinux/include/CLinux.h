// The system calls that Swift cannot make itself, or not simply: calls that need _GNU_SOURCE or a variadic
// argument, calls whose arguments are C macros or structs with flexible parts, and inline code for the data path.
// Swift makes all other calls of the C library directly.
//
// One section for each family of calls. A function that can fail returns -errno, read directly after the call,
// and repeats the call by itself when a signal has interrupted it (EINTR) unless its comment says otherwise. In
// Swift, checked(_:) turns that result into a thrown Errno; checkedErrno(_:) does so for the C library's own
// convention, -1 and errno.
//
// Functions that need _GNU_SOURCE are in CLinux.c. If this header defined it, this module would have other versions
// of the C library's types than Swift's own module of it has, and a clean build would fail.
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
// Without this header, which is in Debian's systemtap-sdt-dev, there are no probes, and all else works.
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

/// fallocate(2) in its default mode: allocates memory for the range, or returns -ENOSPC or -ENOMEM and changes
/// nothing.
int clinux_provision(int fd, off_t offset, off_t length);

/// fallocate(2), FALLOC_FL_PUNCH_HOLE: releases the memory of the range, which reads as zeroes from then on.
int clinux_punch(int fd, off_t offset, off_t length);

/// futex(2), FUTEX_WAIT: sleeps until it is woken, if the lower half of a 64-bit word has a value. Also returns
/// when the half has another value, and when a signal interrupts it.
void clinux_futex_wait(void *word, uint32_t value);

/// futex(2), FUTEX_WAKE: wakes up to `count` threads that sleep on the lower half of a word.
void clinux_futex_wake(void *word, int count);

/// mmap(2) of a part of a file, shared, readable and writable, at a multiple of alignment (a power of two, of
/// pages), which huge pages need. Returns NULL when it fails, with errno in *error.
void *clinux_map_shared(int fd, off_t offset, size_t length, size_t alignment, int *error);

/// mmap(2) of private memory that is not charged until it is touched, MAP_NORESERVE. Fails as clinux_map_shared.
static inline void *clinux_map_private(size_t length, int writable, int *error) {
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) { *error = errno; return NULL; }
    return base;
}

/// mmap(2) of private memory from the pool of reserved huge pages, MAP_HUGETLB: ENOMEM when the pool has too few.
/// The length is a multiple of their size. Fails as clinux_map_shared.
static inline void *clinux_map_reserved(size_t length, int *error) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) { *error = errno; return NULL; }
    return base;
}

/// madvise(2), MADV_POPULATE_WRITE (Linux 5.14): maps all pages of the range, so that no first touch faults.
/// -EINVAL where the kernel is older, also for a length of 0.
static inline int clinux_populate(void *base, size_t length) {
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    return madvise(base, length, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
}

/// The same without the kernel's help: rewrites one byte in each 4 KiB.
static inline void clinux_touch(void *base, size_t length) {
    volatile unsigned char *bytes = (volatile unsigned char *)base;
    for (size_t i = 0; i < length; i += 4096) bytes[i] = bytes[i];
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
/// madvise(2), MADV_HUGEPAGE and MADV_COLLAPSE (Linux 6.1): replaces the pages of a range by huge pages, as far as some
/// are free.
static inline int clinux_collapse(void *base, size_t length) {
    if (madvise(base, length, MADV_HUGEPAGE) < 0) return -errno;
    return madvise(base, length, MADV_COLLAPSE) < 0 ? -errno : 0;
}

/// madvise(2), MADV_NOHUGEPAGE: declines transparent huge pages.
static inline int clinux_avoid_huge_pages(void *base, size_t length) {
    return madvise(base, length, MADV_NOHUGEPAGE) < 0 ? -errno : 0;
}

/// madvise(2), MADV_DONTDUMP: leaves a range out of core dumps.
static inline int clinux_leave_out_of_dumps(void *base, size_t length) {
    return madvise(base, length, MADV_DONTDUMP) < 0 ? -errno : 0;
}

/// madvise(2), MADV_HUGEPAGE: requests transparent huge pages.
static inline int clinux_prefer_huge_pages(void *base, size_t length) {
    return madvise(base, length, MADV_HUGEPAGE) < 0 ? -errno : 0;
}

/// ioctl(2), FIFREEZE or FITHAW, of a directory in the file system.
int clinux_freeze(int fd, int freezes);

/// Keeps the compiler from moving memory accesses across this point. The processor may still move them; a thread
/// that calls clinux_barrier_everywhere makes up for that.
static inline void clinux_compiler_fence(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

/// membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED: on return, every thread of the process has executed a full memory
/// barrier. -ENOSYS where neither it nor MEMBARRIER_CMD_GLOBAL is available.
int clinux_barrier_everywhere(void);

/// mlockall(2), MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT; -EPERM when the process has a limit for locked memory that
/// it may not exceed.
int clinux_lock_process(void);

/// mlock2(2), MLOCK_ONFAULT.
int clinux_lock_on_fault(const void *start, size_t count);

/// mlockall(2), MCL_FUTURE: populates and locks later mappings. Threads that choose no stack size get 1 MiB.
int clinux_lock_future_mappings(void);

/// prctl(2), PR_SET_IO_FLUSHER, for the calling thread and those that it starts.
int clinux_set_io_flusher(void);

// MARK: - Files that are memory

/// fstatfs(2): 1 when an open file or directory is in a tmpfs, 2 when in a hugetlbfs, 0 otherwise; with the file
/// system's page size in *page.
int clinux_memory_kind(int fd, uint64_t *page);

/// open(2), O_TMPFILE: a file in a directory that has no name yet, and that the kernel removes when it is closed.
int clinux_open_unnamed(const char *directory);

/// linkat(2) of such a file's descriptor: gives it a name; -EEXIST when a file has that name.
int clinux_name(int fd, const char *path);

/// lseek(2), SEEK_DATA (data is 1) or SEEK_HOLE (0): the offset of the next one, at or after an offset; -ENXIO when
/// there is none.
off_t clinux_seek(int fd, off_t offset, int data);

// MARK: - Copying

/// memcpy(3) that bypasses the caches where the processor can: it writes whole cache lines of the target without
/// reading them first, and evicts nothing else. The ranges must not overlap.
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
    // Such stores are weakly ordered: a thread that learns of the copy must see it complete.
    _mm_sfence();
    memcpy(to, from, count);
#else
    memcpy(target, source, count);
#endif
}

// MARK: - Sockets

/// recvmsg(2): the number of bytes received, 0 at the end of the stream, or -errno: -EAGAIN when there are none and
/// the call is not to block.
static inline ssize_t clinux_receive(int fd, struct iovec *vectors, size_t count, int blocking) {
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = count };
    int flags = blocking ? 0 : MSG_DONTWAIT;
    ssize_t result;
    do { result = recvmsg(fd, &message, flags); } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

/// sendmsg(2) without SIGPIPE: the number of bytes sent, or -errno: -EAGAIN when there is no room and the call is not
/// to block.
static inline ssize_t clinux_send(int fd, struct iovec *vectors, size_t count, int blocking) {
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = count };
    int flags = blocking ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t result;
    do { result = sendmsg(fd, &message, flags); } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

/// fcntl(2), O_NONBLOCK: whether calls that do not choose themselves block.
static inline int clinux_set_blocking(int fd, int blocking) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

/// ioctl(2), FIONREAD: the number of received bytes that nothing has read yet from a socket; a negative error number on
/// failure.
int clinux_unread_bytes(int fd);

/// setsockopt(2), TCP_ULP: attaches kernel TLS, which is inactive until it has keys.
int clinux_tls_attach(int fd);

/// setsockopt(2), TLS_TX or TLS_RX: the keys of one direction of a TLS 1.2 session with AES-GCM. The key has 16
/// or 32 bytes, the salt 4, the sequence number of the next record 8.
int clinux_tls_set_keys(
    int fd, int is_sending, const uint8_t *key, size_t key_size, const uint8_t *salt,
    const uint8_t *sequence);

/// sendmsg(2), TLS_SET_RECORD_TYPE: sends a close_notify alert, without waiting.
int clinux_tls_close_notify(int fd);

/// recvmsg(2), TLS_GET_RECORD_TYPE: receives the next record, and returns its type, with its first two bytes (zero
/// where it is shorter) in start; or -errno. Does not wait.
int clinux_tls_other_record(int fd, uint8_t start[2]);

/// accept4(2) without the peer's address, closed on exec; -EAGAIN when there is no connection.
int clinux_accept(int fd);

/// getsockopt(2), SO_PEERCRED: the process that has connected a Unix socket.
int clinux_peer_credentials(int fd, int *pid, uint32_t *uid, uint32_t *gid);

/// getsockopt(2), SO_PEERGROUPS (Linux 4.13): the supplementary groups of the process that has connected a Unix
/// socket. Returns their number, or -ERANGE when there is no room for all.
static inline int clinux_peer_groups(int fd, uint32_t *groups, size_t capacity) {
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
    socklen_t length = (socklen_t)(capacity * sizeof *groups);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) {
        // An older kernel does not know the option, and a pair of sockets has no groups.
        return errno == ENOPROTOOPT || errno == ENODATA ? 0 : -errno;
    }
    return (int)(length / sizeof *groups);
}

/// fchownat(2) and chmod(2) of a socket's file; -1 leaves the user, group or mode as it is. -ENOTSOCK for any other
/// file.
int clinux_set_file_access(const char *path, int64_t uid, int64_t gid, int64_t mode);

/// renameat2(2), RENAME_NOREPLACE, or link(2) and unlink(2) where the file system does not know that: -EEXIST when
/// there is a file at the new path.
int clinux_move_to_new(const char *from, const char *to);

/// poll(2) without waiting: which sockets of a list are shut down in both directions. A slot is a descriptor plus
/// one, or 0 for none; other threads may change slots meanwhile. Returns 2 when the slot `own` is shut down, else 1
/// when another one is (also when poll(2) fails, since then nothing is known), else 0.
static inline int clinux_hang_ups(const uint64_t *slots, size_t count, size_t own) {
    struct pollfd polls[64];
    size_t indices[64];
    nfds_t members = 0;
    if (count > 64) return 1;
    // Members only: poll(2) rejects more entries than the process may have descriptors.
    for (size_t i = 0; i < count; i++) {
        uint64_t slot = __atomic_load_n(&slots[i], __ATOMIC_ACQUIRE);
        if (slot == 0) continue;
        indices[members] = i;
        polls[members++] = (struct pollfd){ .fd = (int)slot - 1, .events = 0 };
    }
    int ready = poll(polls, members, 0);
    if (ready <= 0) return ready < 0 ? 1 : 0;
    int others = 0;
    for (nfds_t i = 0; i < members; i++) {
        if (!(polls[i].revents & (POLLHUP | POLLERR))) continue;
        if (indices[i] == own) return 2;
        // A member that has left meanwhile makes no more changes.
        if (__atomic_load_n(&slots[indices[i]], __ATOMIC_ACQUIRE) == (uint64_t)polls[i].fd + 1) others = 1;
    }
    return others;
}

// MARK: - Files

/// sync_file_range(2): writes all dirty pages of a file, and waits for that.
int clinux_write_dirty_pages(int fd);

/// O_DIRECT of open(2), which needs _GNU_SOURCE.
int clinux_direct_flag(void);

/// setrlimit(2), RLIMIT_NOFILE: raises the limit of open descriptors as far as this process may.
static inline int clinux_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

// MARK: - Netlink

/// socket(2), AF_NETLINK and NETLINK_GENERIC, closed on exec.
int clinux_netlink_socket(void);

/// recvmsg(2) of one datagram from the kernel itself: the number of its bytes, or -EMSGSIZE when it is longer than
/// the buffer.
ssize_t clinux_netlink_receive(int fd, void *bytes, size_t count);

// MARK: - Passing descriptors

/// sendmsg(2) of one message without SIGPIPE, with a descriptor (SCM_RIGHTS) unless it is -1. -EAGAIN when there is no
/// room and the call is not to block.
ssize_t clinux_send_message(int fd, const void *bytes, size_t count, int descriptor, int blocking);

/// recvmsg(2) of one message, with the descriptor that came with it, or -1, in *descriptor.
ssize_t clinux_receive_message(int fd, void *bytes, size_t count, int *descriptor);

// MARK: - Processes

/// posix_spawnp(3): starts arguments[0] with no signal blocked, and returns its pid. The arguments end with NULL. The
/// setting_count settings ("NAME=value") extend or override the environment.
///
/// With fds, the program gets fds[i] as its descriptor i (-1: /dev/null) and no others, and all signals have their
/// default actions. Without (NULL), it inherits all descriptors that stay open on exec, and only the signals that this
/// program handles have their default actions. A session of its own is optional.
int clinux_spawn(
    char *const *arguments, char *const *settings, size_t setting_count, const int *fds, size_t count, int session);

/// pidfd_open(2) (Linux 5.3): a descriptor that becomes readable when the process has ended.
int clinux_process_descriptor(int pid);

/// waitpid(2) until a child has ended: its exit code, or 256 plus the signal that ended it.
int clinux_wait_process(int pid);

/// madvise(2), MADV_DONTNEED, for the parts of the program's file that are never written: code that only start-up has
/// run, and what the dynamic linker has read there; some MiB.
void clinux_release_startup_pages(void);

// MARK: - Confinement

/// landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION: the version of Landlock's interface; 0 without
/// Landlock.
int clinux_landlock_abi(void);

/// landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_ERRATA: a bit for each erratum of that version that the kernel
/// has fixed.
unsigned clinux_landlock_errata(void);

/// landlock_create_ruleset(2): a descriptor of rules that deny these rights, as linux/landlock.h has them.
int clinux_landlock_create(uint64_t files, uint64_t network, uint64_t scopes);

/// landlock_add_rule(2): allows rights to a file, or to a directory and everything below it. Returns a descriptor of it
/// (O_PATH).
int clinux_landlock_allow(int ruleset, const char *path, uint64_t rights);

/// Restricts every thread of the process: landlock_restrict_self(2) with a ruleset, unless that is -1; capset(2), which
/// drops all other capabilities; prctl(2), PR_SET_NO_NEW_PRIVS. The other threads receive clinux_restrict_signal, which
/// clinux_thread_start never blocks. -ETIMEDOUT when a thread does not react.
int clinux_restrict_threads(int ruleset, uint64_t capabilities);

/// initgroups(3), setresgid(2) and setresuid(2): switches every thread to a user other than root, with the groups of
/// that user if the user database has it.
int clinux_become(uint32_t uid, uint32_t gid);

/// The same for the calling thread alone, which must end soon: the C library assumes that all threads have one user.
int clinux_become_in_thread(uint32_t uid, uint32_t gid);

/// prctl(2), PR_SET_DUMPABLE: disables core dumps, and access to the memory by other processes except those of root.
void clinux_hide_process(void);

/// The signal of clinux_restrict_threads.
int clinux_restrict_signal(void);

/// sigaction(2), SIGSYS: makes a refused system call fail with EPERM if known[number] is not 0, with ENOSYS otherwise,
/// and writes its number, 4 bytes, to a pipe. The table must stay valid until the process ends.
int clinux_report_refusals(int pipe, const uint8_t *known, size_t count);

/// pipe2(2), closed on exec; writing never blocks.
int clinux_pipe(int *reading, int *writing);

// MARK: - Probes

// Each probe is one no-op instruction, until a tracer puts a breakpoint in its place; a note in the binary says where
// it is and which registers hold its arguments. (USDT)

/// The server has accepted a connection: its number.
static inline void clinux_probe_connection_open(uint64_t connection) {
    DTRACE_PROBE1(ramdisk_nbd, connection_open, connection);
}

/// A connection has ended: its number, and its number of requests.
static inline void clinux_probe_connection_close(uint64_t connection, uint64_t requests) {
    DTRACE_PROBE2(ramdisk_nbd, connection_close, connection, requests);
}

/// A request has been received completely: connection, command, offset, length.
static inline void clinux_probe_request_received(
    uint64_t connection, uint64_t command, uint64_t offset, uint64_t length
) {
    DTRACE_PROBE4(ramdisk_nbd, request_received, connection, command, offset, length);
}

/// A request's reply has been sent: connection, command, error, nanoseconds since the request was received.
static inline void clinux_probe_request_done(
    uint64_t connection, uint64_t command, uint64_t error, uint64_t nanoseconds
) {
    DTRACE_PROBE4(ramdisk_nbd, request_done, connection, command, error, nanoseconds);
}

// MARK: - Events and terminals

/// eventfd(2), non-blocking, closed on exec.
static inline int clinux_event_create(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/// ioctl_tty(2), TIOCGWINSZ: the size of a terminal in characters.
int clinux_window_size(int fd, int *columns, int *rows);

// MARK: - Threads and signals

/// pthread_create(3) with a stack of this size and every signal of others blocked: signals are for the thread that
/// waits for them, never for one that transfers data.
static inline int clinux_thread_start(
    pthread_t *thread, size_t stack, void *(*body)(void *), void *context
) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return -error;
    pthread_attr_setstacksize(&attributes, stack);
    sigset_t all, before;
    sigfillset(&all);
    // Two signals are for the thread itself: see "Confinement".
    sigdelset(&all, SIGSYS);
    sigdelset(&all, clinux_restrict_signal());
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, &attributes, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

/// pthread_sigmask(3), SIG_BLOCK, for the calling thread and those that it starts.
void clinux_block_signals(const int32_t *signals, size_t count);

/// sigwaitinfo(2): waits for the next of these signals, which are blocked, and returns it; -1 when another signal has
/// interrupted the call.
int clinux_next_signal(const int32_t *signals, size_t count);

/// sigaction(2): whether a signal is ignored.
int clinux_is_ignored(int signal);

/// pthread_setname_np(3) for the calling thread; at most 15 characters.
void clinux_thread_name(const char *name);

/// sched_setscheduler(2) for the calling thread: SCHED_RR with the lowest real-time priority, which threads that it
/// starts do not inherit, or SCHED_OTHER.
int clinux_set_real_time(int wanted);

/// sched_setaffinity(2) for the calling thread and those that it starts; mask[i] is whether they may use processor i.
int clinux_bind_processors(const uint8_t *mask, size_t count);

// MARK: - Names

/// res_nquery(3) for the records of type SRV of a name: asks the name servers of resolv.conf(5), or only the one with an
/// IPv4 address and a port. Returns the length of the message in `answer`, at most `capacity`, or a negated code of
/// h_errno(3): 1 no such name, 2 no reply, 3 refused, 4 no such record.
int clinux_query_services(
    const char *name, const char *server, uint16_t port, uint8_t *answer, int capacity);

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

/// Tells the processor that this is a busy-wait.
static inline void clinux_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
