// The shims for functions that the C library declares only under _GNU_SOURCE, and those that are too long to be
// inline in the header.
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/capability.h>
#include <linux/fs.h>
#include <link.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/netlink.h>
#include <linux/tls.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/ioctl.h>

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

// The kernel compares 32 bits; here they are the lower half of the word.
static uint32_t *lower_half(void *word) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word;
#else
    return (uint32_t *)word + 1;
#endif
}

void clinux_futex_wait(void *word, uint32_t value) {
    syscall(SYS_futex, lower_half(word), FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void clinux_futex_wake(void *word, int count) {
    syscall(SYS_futex, lower_half(word), FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void *clinux_map_shared(int fd, off_t offset, size_t length, size_t alignment, int *error) {
    // Reserves enough address space to contain an aligned range, and then unmaps what surrounds that.
    size_t room = length + alignment;
    char *start = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) { *error = errno; return NULL; }
    size_t before = -(uintptr_t)start & (alignment - 1);
    char *base = start + before;
    void *mapped = mmap(base, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset);
    if (mapped == MAP_FAILED) {
        *error = errno;
        munmap(start, room);
        return NULL;
    }
    if (before > 0) munmap(start, before);
    munmap(base + length, alignment - before);
    return base;
}

int clinux_memory_kind(int fd, uint64_t *page) {
    struct statfs status;
    if (fstatfs(fd, &status) < 0) return -errno;
    *page = (uint64_t)status.f_bsize;
    return status.f_type == TMPFS_MAGIC ? 1 : status.f_type == HUGETLBFS_MAGIC ? 2 : 0;
}

int clinux_freeze(int fd, int freezes) {
    return ioctl(fd, freezes ? FIFREEZE : FITHAW, 0) < 0 ? -errno : 0;
}

int clinux_barrier_everywhere(void) {
    // The values of linux/membarrier.h, which old headers lack.
    enum { global = 1, private_expedited = 1 << 3, register_private_expedited = 1 << 4 };
    if (syscall(SYS_membarrier, private_expedited, 0, 0) == 0) return 0;
    // EPERM: the process has not registered yet.
    if (errno == EPERM && syscall(SYS_membarrier, register_private_expedited, 0, 0) == 0 &&
        syscall(SYS_membarrier, private_expedited, 0, 0) == 0) return 0;
    return syscall(SYS_membarrier, global, 0, 0) < 0 ? -ENOSYS : 0;
}

int clinux_lock_process(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0) return -errno;
    // With a limit, and without the capability to exceed it, later mappings would fail.
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct sets[2] = { 0 };
    if (syscall(SYS_capget, &header, sets) < 0) return -errno;
    int exceeds = sets[0].effective >> CAP_IPC_LOCK & 1;
    if (limit.rlim_cur != RLIM_INFINITY && !exceeds) return -EPERM;
    return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}

int clinux_lock_on_fault(const void *start, size_t count) {
    return mlock2(start, count, MLOCK_ONFAULT) < 0 ? -errno : 0;
}

int clinux_lock_future_mappings(void) {
    // The default stack of a library's thread would lock 8 MiB.
    pthread_attr_t attributes;
    if (pthread_getattr_default_np(&attributes) == 0) {
        pthread_attr_setstacksize(&attributes, 1 << 20);
        pthread_setattr_default_np(&attributes);
        pthread_attr_destroy(&attributes);
    }
    return mlockall(MCL_FUTURE) < 0 ? -errno : 0;
}

int clinux_set_io_flusher(void) {
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
    return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int clinux_open_unnamed(const char *directory) {
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

int clinux_name(int fd, const char *path) {
    char unnamed[64];
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

off_t clinux_seek(int fd, off_t offset, int data) {
    off_t result = lseek(fd, offset, data ? SEEK_DATA : SEEK_HOLE);
    return result < 0 ? -errno : result;
}

int clinux_accept(int fd) {
    int accepted;
    do { accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC); } while (accepted < 0 && errno == EINTR);
    return accepted < 0 ? -errno : accepted;
}

int clinux_peer_credentials(int fd, int *pid, uint32_t *uid, uint32_t *gid) {
    struct ucred found;
    socklen_t length = sizeof found;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &length) < 0) return -errno;
    *pid = found.pid;
    *uid = found.uid;
    *gid = found.gid;
    return 0;
}

int clinux_move_to_new(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -errno;
    if (link(from, to) < 0) return -errno;
    unlink(from);
    return 0;
}

int clinux_set_file_access(const char *path, int64_t uid, int64_t gid, int64_t mode) {
    // Changes the very file that it has checked, even if the path leads to another one by then.
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat status;
    int result = fstat(fd, &status) < 0 ? -errno : S_ISSOCK(status.st_mode) ? 0 : -ENOTSOCK;
    if (result == 0 && (uid >= 0 || gid >= 0)
        && fchownat(fd, "", (uid_t)uid, (gid_t)gid, AT_EMPTY_PATH) < 0) result = -errno;
    if (result == 0 && mode >= 0) {
        // fchmod(2) rejects an O_PATH descriptor, but its name in /proc leads to the file.
        char name[32];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if (chmod(name, (mode_t)mode) < 0) result = -errno;
    }
    close(fd);
    return result;
}

static void clinux_signal_set(sigset_t *set, const int32_t *signals, size_t count) {
    sigemptyset(set);
    for (size_t i = 0; i < count; i++) sigaddset(set, signals[i]);
}

void clinux_block_signals(const int32_t *signals, size_t count) {
    sigset_t set;
    clinux_signal_set(&set, signals, count);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int clinux_next_signal(const int32_t *signals, size_t count) {
    sigset_t set;
    clinux_signal_set(&set, signals, count);
    return sigwaitinfo(&set, NULL);
}

int clinux_is_ignored(int signal) {
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
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

int clinux_set_real_time(int wanted) {
    struct sched_param parameter = { .sched_priority = wanted ? sched_get_priority_min(SCHED_RR) : 0 };
    int policy = wanted ? SCHED_RR | SCHED_RESET_ON_FORK : SCHED_OTHER;
    return sched_setscheduler(0, policy, &parameter) < 0 ? -errno : 0;
}

int clinux_netlink_socket(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    return fd < 0 ? -errno : fd;
}

ssize_t clinux_netlink_receive(int fd, void *bytes, size_t count) {
    struct sockaddr_nl sender;
    struct iovec vector = { .iov_base = bytes, .iov_len = count };
    struct msghdr message = { .msg_name = &sender, .msg_iov = &vector, .msg_iovlen = 1 };
    for (;;) {
        message.msg_namelen = sizeof sender;
        ssize_t result = recvmsg(fd, &message, 0);
        if (result < 0 && errno == EINTR) continue;
        if (result < 0) return -errno;
        // Any process may send to this socket; the kernel has the port 0.
        if (message.msg_namelen != sizeof sender || sender.nl_pid != 0) continue;
        return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : result;
    }
}

// Ancillary data with room for one descriptor, aligned as cmsg(3) requires.
union clinux_rights {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
};

ssize_t clinux_send_message(int fd, const void *bytes, size_t count, int descriptor, int blocking) {
    struct iovec vector = { .iov_base = (void *)bytes, .iov_len = count };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    union clinux_rights rights;
    if (descriptor >= 0) {
        memset(&rights, 0, sizeof rights);
        message.msg_control = rights.bytes;
        message.msg_controllen = sizeof rights.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    int flags = blocking ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t result;
    do { result = sendmsg(fd, &message, flags); } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

ssize_t clinux_receive_message(int fd, void *bytes, size_t count, int *descriptor) {
    struct iovec vector = { .iov_base = bytes, .iov_len = count };
    union clinux_rights rights;
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1,
        .msg_control = rights.bytes, .msg_controllen = sizeof rights.bytes
    };
    *descriptor = -1;
    ssize_t result;
    do { result = recvmsg(fd, &message, MSG_CMSG_CLOEXEC); } while (result < 0 && errno == EINTR);
    if (result < 0) return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS
        && header->cmsg_len == CMSG_LEN(sizeof *descriptor)) {
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    }
    return result;
}

// Makes fds[i] descriptor i of the program. A descriptor whose value is the target of another one is moved out of the
// way first, into moved[].
static int place_descriptors(
    posix_spawn_file_actions_t *actions, const int *fds, size_t count, int *moved
) {
    for (size_t i = 0; i < count; i++) {
        int fd = fds[i];
        int error;
        if (fd >= 0 && (size_t)fd < count && (size_t)fd != i) {
            fd = moved[i] = fcntl(fd, F_DUPFD_CLOEXEC, (int)count);
            if (fd < 0) return errno;
        }
        if (fd < 0) {
            error = posix_spawn_file_actions_addopen(actions, (int)i, "/dev/null", O_RDWR, 0);
        } else {
            error = posix_spawn_file_actions_adddup2(actions, fd, (int)i);
        }
        if (error) return error;
    }
    return posix_spawn_file_actions_addclosefrom_np(actions, (int)count);
}

// Whether an entry of the environment has the same name as a setting.
static int is_same_variable(const char *entry, const char *setting) {
    size_t length = strcspn(setting, "=");
    return strncmp(entry, setting, length) == 0 && entry[length] == '=';
}

// Returns this process's environment with settings in addition or instead, in memory to be freed; NULL without memory.
static char **environment_with(char *const *settings, size_t count) {
    size_t inherited = 0;
    for (char **entry = environ; *entry; entry++) inherited++;
    char **environment = calloc(inherited + count + 1, sizeof *environment);
    if (!environment) return NULL;
    size_t used = 0;
    for (char **entry = environ; *entry; entry++) {
        int is_set = 0;
        for (size_t i = 0; i < count; i++) is_set |= is_same_variable(*entry, settings[i]);
        if (!is_set) environment[used++] = *entry;
    }
    for (size_t i = 0; i < count; i++) environment[used++] = settings[i];
    return environment;
}

int clinux_spawn(
    char *const *arguments, char *const *settings, size_t setting_count, const int *fds, size_t count, int session
) {
    int moved[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    if (count > 8) return -EINVAL;
    char **environment = environment_with(settings, setting_count);
    if (!environment) return -ENOMEM;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigset_t none, defaults;
    sigemptyset(&none);
    if (fds) {
        sigfillset(&defaults);
    } else {
        // The signals that this program ignores or handles. SIGHUP stays as it is: under nohup(1) it stays ignored.
        clinux_signal_set(&defaults, (int32_t[]){ SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGPIPE }, 5);
    }
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(
        &attributes,
        POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (session ? POSIX_SPAWN_SETSID : 0));
    pid_t pid = 0;
    int error = fds ? place_descriptors(&actions, fds, count, moved) : 0;
    if (!error) error = posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments, environment);
    for (size_t i = 0; i < count; i++) {
        if (moved[i] >= 0) close(moved[i]);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(environment);
    return error ? -error : pid;
}

int clinux_process_descriptor(int pid) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

int clinux_write_dirty_pages(int fd) {
    unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return sync_file_range(fd, 0, 0, flags) < 0 ? -errno : 0;
}

int clinux_direct_flag(void) { return O_DIRECT; }

int clinux_wait_process(int pid) {
    int status;
    pid_t result;
    do { result = waitpid(pid, &status, 0); } while (result < 0 && errno == EINTR);
    if (result < 0) return -errno;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

int clinux_unread_bytes(int fd) {
    int count;
    return ioctl(fd, FIONREAD, &count) < 0 ? -errno : count;
}

int clinux_window_size(int fd, int *columns, int *rows) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0) return -errno;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}

// Releases the pages of the program that are mapped for reading or execution only.
static int release_unwritten(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size, (void)context;
    uintptr_t mask = (uintptr_t)getpagesize() - 1;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || part->p_flags & PF_W) continue;
        uintptr_t first = (info->dlpi_addr + part->p_vaddr) & ~mask;
        uintptr_t end = (info->dlpi_addr + part->p_vaddr + part->p_memsz) & ~mask;
        if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
    }
    // The first entry is the program itself; the others are libraries.
    return 1;
}

void clinux_release_startup_pages(void) { dl_iterate_phdr(release_unwritten, NULL); }

// MARK: - TLS

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

int clinux_tls_attach(int fd) {
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") < 0 ? -errno : 0;
}

// The two structs have the same fields in the same order, with a key of their size: see <linux/tls.h>.
_Static_assert(
    offsetof(struct tls12_crypto_info_aes_gcm_128, rec_seq) == offsetof(struct tls12_crypto_info_aes_gcm_256, rec_seq) - 16
    && offsetof(struct tls12_crypto_info_aes_gcm_256, key) == offsetof(struct tls12_crypto_info_aes_gcm_128, key)
    && sizeof(struct tls12_crypto_info_aes_gcm_256) == sizeof(struct tls12_crypto_info_aes_gcm_128) + 16,
    "the layouts differ in the key alone");

// The kernel counts the variable part of the nonce up from its first value. GnuTLS uses the sequence number of the
// record for it, so the kernel continues from there.
int clinux_tls_set_keys(
    int fd, int is_sending, const uint8_t *key, size_t key_size, const uint8_t *salt,
    const uint8_t *sequence
) {
    int is_long = key_size == TLS_CIPHER_AES_GCM_256_KEY_SIZE;
    if (!is_long && key_size != TLS_CIPHER_AES_GCM_128_KEY_SIZE) return -EINVAL;
    struct tls12_crypto_info_aes_gcm_256 info = { .info = {
        .version = TLS_1_2_VERSION,
        .cipher_type = is_long ? TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128
    } };
    memcpy(info.iv, sequence, sizeof info.iv);
    uint8_t *end = info.key;
    end = mempcpy(end, key, key_size);
    end = mempcpy(end, salt, sizeof info.salt);
    end = mempcpy(end, sequence, sizeof info.rec_seq);
    socklen_t size = (socklen_t)(end - (uint8_t *)&info);
    int result = setsockopt(fd, SOL_TLS, is_sending ? TLS_TX : TLS_RX, &info, size) < 0 ? -errno : 0;
    explicit_bzero(&info, sizeof info);
    return result;
}

// A message with one region, and ancillary data with room for the type of a record.
struct tls_message {
    struct msghdr header;
    struct iovec vector;
    union {
        struct cmsghdr alignment;
        char bytes[CMSG_SPACE(sizeof(uint8_t))];
    } control;
};

static void prepare_tls_message(struct tls_message *message, void *data, size_t size) {
    memset(message, 0, sizeof *message);
    message->vector = (struct iovec){ .iov_base = data, .iov_len = size };
    message->header.msg_iov = &message->vector;
    message->header.msg_iovlen = 1;
    message->header.msg_control = message->control.bytes;
    message->header.msg_controllen = sizeof message->control.bytes;
}

int clinux_tls_close_notify(int fd) {
    uint8_t alert[2] = { 1, 0 }; // a warning: close_notify
    struct tls_message message;
    prepare_tls_message(&message, alert, sizeof alert);
    struct cmsghdr *type = CMSG_FIRSTHDR(&message.header);
    type->cmsg_level = SOL_TLS;
    type->cmsg_type = TLS_SET_RECORD_TYPE;
    type->cmsg_len = CMSG_LEN(sizeof(uint8_t));
    *CMSG_DATA(type) = 21; // alert
    return sendmsg(fd, &message.header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int clinux_tls_other_record(int fd, uint8_t start[2]) {
    uint8_t data[512] = { 0 };
    struct tls_message message;
    prepare_tls_message(&message, data, sizeof data);
    ssize_t count;
    do {
        count = recvmsg(fd, &message.header, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    struct cmsghdr *type = CMSG_FIRSTHDR(&message.header);
    if (!type || type->cmsg_level != SOL_TLS || type->cmsg_type != TLS_GET_RECORD_TYPE) return -ENOMSG;
    memcpy(start, data, 2);
    return *CMSG_DATA(type);
}
