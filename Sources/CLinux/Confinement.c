// Gives up rights in all threads of a process, and reports the system calls that are refused.
#define _GNU_SOURCE
#include "CLinux.h"
#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

// MARK: - Landlock

// The C library has no functions for these calls, and the kernel headers of Debian 12 lack some of the structures.
#define CLINUX_LANDLOCK_CREATE 444
#define CLINUX_LANDLOCK_ADD 445
#define CLINUX_LANDLOCK_RESTRICT 446
#define CLINUX_LANDLOCK_VERSION 1u
#define CLINUX_LANDLOCK_ERRATA 2u
#define CLINUX_LANDLOCK_BENEATH 1

// linux/landlock.h, struct landlock_ruleset_attr. A kernel that knows fewer fields accepts the rest as long as it is 0.
struct clinux_landlock_attributes {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

// struct landlock_path_beneath_attr
struct clinux_landlock_beneath {
    uint64_t rights;
    int32_t directory;
} __attribute__((packed));

// The rights that a file has; the others are those of a directory: EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV.
#define CLINUX_LANDLOCK_FILE_RIGHTS (1u << 0 | 1u << 1 | 1u << 2 | 1u << 14 | 1u << 15)

int clinux_landlock_abi(void) {
    long version = syscall(CLINUX_LANDLOCK_CREATE, NULL, 0, CLINUX_LANDLOCK_VERSION);
    return version < 0 ? 0 : (int)version;
}

unsigned clinux_landlock_errata(void) {
    long errata = syscall(CLINUX_LANDLOCK_CREATE, NULL, 0, CLINUX_LANDLOCK_ERRATA);
    return errata < 0 ? 0 : (unsigned)errata;
}

int clinux_landlock_create(uint64_t files, uint64_t network, uint64_t scopes) {
    struct clinux_landlock_attributes attributes = { files, network, scopes };
    long ruleset = syscall(CLINUX_LANDLOCK_CREATE, &attributes, sizeof attributes, 0);
    return ruleset < 0 ? -errno : (int)ruleset;
}

int clinux_landlock_allow(int ruleset, const char *path, uint64_t rights) {
    int file = open(path, O_PATH | O_CLOEXEC);
    if (file < 0) return -errno;
    struct stat status;
    if (fstat(file, &status) == 0 && !S_ISDIR(status.st_mode)) rights &= CLINUX_LANDLOCK_FILE_RIGHTS;
    struct clinux_landlock_beneath rule = { rights, file };
    if (rights != 0 && syscall(CLINUX_LANDLOCK_ADD, ruleset, CLINUX_LANDLOCK_BENEATH, &rule, 0) < 0) {
        int error = errno;
        close(file);
        return -error;
    }
    return file;
}

// MARK: - All threads

// Parameters and results of the signal handler: whether a restriction is in progress, the ruleset and the capabilities,
// the thread that has restricted itself last, and the error of one that could not.
static int clinux_is_restricting;
static int clinux_ruleset = -1;
static uint64_t clinux_capabilities;
static pid_t clinux_restricted;
static int clinux_restrict_error;

// capset(2): gives up all capabilities but these.
static int clinux_limit_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return -errno;
    // A service manager may have refused the call to a process that has nothing to give up.
    if ((data[0].permitted | data[1].permitted | data[0].inheritable | data[1].inheritable) == 0) return 0;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(kept >> (32 * i));
        data[i].effective &= data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int clinux_restrict_thread(void) {
    // Without it, only a process with CAP_SYS_ADMIN may restrict itself.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    int result = clinux_limit_capabilities(clinux_capabilities);
    if (result < 0 || clinux_ruleset < 0) return result;
    return syscall(CLINUX_LANDLOCK_RESTRICT, clinux_ruleset, 0) < 0 ? -errno : 0;
}

static void clinux_on_restrict(int signal) {
    (void)signal;
    int error = errno;
    // A signal that another process has sent has no effect.
    if (!clinux_is_restricting) return;
    int result = clinux_restrict_thread();
    if (result < 0) __atomic_store_n(&clinux_restrict_error, result, __ATOMIC_RELEASE);
    __atomic_store_n(&clinux_restricted, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    errno = error;
}

int clinux_restrict_signal(void) { return SIGRTMIN + 1; }

// Signals a thread to restrict itself, and waits until it has: 30 seconds at most, since the thread may be reading from
// a slow disk. Returns 0 also when the thread has ended.
static int clinux_restrict_other(pid_t process, pid_t thread) {
    if (syscall(SYS_tgkill, process, thread, clinux_restrict_signal()) < 0) return errno == ESRCH ? 0 : -errno;
    struct timespec pause = { .tv_nsec = 100000 };
    for (int i = 0; i < 300000; i++) {
        if (__atomic_load_n(&clinux_restricted, __ATOMIC_ACQUIRE) == thread) return 0;
        if (syscall(SYS_tgkill, process, thread, 0) < 0) return 0;
        nanosleep(&pause, NULL);
    }
    return -ETIMEDOUT;
}

// The threads that have restricted themselves. A starting server has few threads.
struct clinux_threads {
    pid_t list[4096];
    size_t count;
};

static int clinux_is_known(const struct clinux_threads *known, pid_t thread) {
    for (size_t i = 0; i < known->count; i++) {
        if (known->list[i] == thread) return 1;
    }
    return 0;
}

// Restricts the threads in a directory of /proc that are not known yet. Returns their number, or -errno.
static int clinux_restrict_new(DIR *tasks, pid_t process, struct clinux_threads *known) {
    int found = 0;
    rewinddir(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        pid_t thread = (pid_t)atoi(entry->d_name);
        if (thread <= 0 || clinux_is_known(known, thread)) continue;
        if (known->count == sizeof known->list / sizeof *known->list) return -ENOSPC;
        int result = clinux_restrict_other(process, thread);
        if (result == 0) result = __atomic_load_n(&clinux_restrict_error, __ATOMIC_ACQUIRE);
        if (result < 0) return result;
        known->list[known->count++] = thread;
        found++;
    }
    return found;
}

int clinux_restrict_threads(int ruleset, uint64_t capabilities) {
    // Not with malloc(3): the handler may run in a thread that holds its lock. Not on the stack, which is small.
    static struct clinux_threads known;
    struct sigaction action = { .sa_handler = clinux_on_restrict, .sa_flags = SA_RESTART };
    sigaction(clinux_restrict_signal(), &action, NULL);
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) return -errno;
    clinux_ruleset = ruleset;
    clinux_capabilities = capabilities;
    __atomic_store_n(&clinux_is_restricting, 1, __ATOMIC_RELEASE);
    known.count = 1;
    known.list[0] = (pid_t)syscall(SYS_gettid);
    // A thread that is not restricted yet may start another one, so repeat until a pass finds none.
    int result;
    do { result = clinux_restrict_new(tasks, getpid(), &known); } while (result > 0);
    // This thread restricts itself last: it could not read the directory afterwards.
    if (result == 0) result = clinux_restrict_thread();
    __atomic_store_n(&clinux_is_restricting, 0, __ATOMIC_RELEASE);
    closedir(tasks);
    return result;
}

// MARK: - Refused calls

static int clinux_refusals = -1;
static const uint8_t *clinux_known;
static size_t clinux_known_count;

// seccomp(2), SECCOMP_RET_TRAP: the kernel has not made the call, whose result this handler chooses.
static void clinux_on_refused(int signal, siginfo_t *info, void *context) {
    (void)signal;
    int error = errno;
    uint32_t number = (uint32_t)info->si_syscall;
    ucontext_t *state = context;
    // A call that is in no table comes from a newer C library, which has a fallback for ENOSYS.
    long result = number < clinux_known_count && clinux_known[number] ? -EPERM : -ENOSYS;
#if defined(__x86_64__)
    state->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
    state->uc_mcontext.regs[0] = (unsigned long long)result;
#endif
    // The pipe does not block: a line is lost when it is full.
    if (write(clinux_refusals, &number, sizeof number) < 0) {}
    errno = error;
}

int clinux_report_refusals(int pipe, const uint8_t *known, size_t count) {
    clinux_refusals = pipe;
    clinux_known = known;
    clinux_known_count = count;
    struct sigaction action = { .sa_sigaction = clinux_on_refused, .sa_flags = SA_SIGINFO | SA_RESTART };
    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

int clinux_pipe(int *reading, int *writing) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    int flags = fcntl(ends[1], F_GETFL);
    if (flags >= 0) fcntl(ends[1], F_SETFL, flags | O_NONBLOCK);
    *reading = ends[0], *writing = ends[1];
    return 0;
}

// MARK: - Another user

int clinux_become(uint32_t uid, uint32_t gid) {
    char text[16384];
    struct passwd record, *found = NULL;
    getpwuid_r(uid, &record, text, sizeof text, &found);
    // The C library does the same in every thread.
    int result = found != NULL ? initgroups(found->pw_name, gid) : setgroups(0, NULL);
    if (result < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) return -errno;
    // A process that can become root again must not continue.
    return setuid(0) == 0 ? -EPERM : 0;
}

int clinux_become_in_thread(uint32_t uid, uint32_t gid) {
    static gid_t groups[65536];
    char text[16384];
    struct passwd record, *found = NULL;
    int count = sizeof groups / sizeof *groups;
    getpwuid_r(uid, &record, text, sizeof text, &found);
    if (found == NULL || getgrouplist(found->pw_name, gid, groups, &count) < 0) count = 0;
    // The C library's functions would change every thread.
    if (syscall(SYS_setgroups, (size_t)count, groups) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
        syscall(SYS_setresuid, uid, uid, uid) < 0) return -errno;
    return 0;
}

void clinux_hide_process(void) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
