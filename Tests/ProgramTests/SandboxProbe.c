// Code inside a server (LD_PRELOAD) that tries what an attacker would: a thread that exists before the server confines
// itself, and takes commands from the FIFO that PROBE_COMMANDS names. Each byte is a command; its result is a line in
// the file that PROBE_RESULTS names: the command, a space, and errno, or 0 when the call was permitted.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int commands, results, foreign_socket, tester;

static int run_child(void *ignored) {
    (void)ignored;
    return 0;
}

static long try(char command) {
    static char stack[65536];
    char byte;
    struct iovec vector = { &byte, 1 };
    // The address of a port that nobody needs to listen on.
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    char *const arguments[] = { "true", NULL };
    switch (command) {
    case 'o': return open("/etc/passwd", O_RDONLY);
    case 'w': return open(getenv("PROBE_OUTSIDE"), O_WRONLY | O_CREAT, 0600);
    case 's': return socket(AF_INET, SOCK_STREAM, 0);
    case 'u': return socket(AF_UNIX, SOCK_STREAM, 0);
    case 'c': return connect(foreign_socket, (struct sockaddr *)&address, sizeof address);
    case 'k': return kill(tester, 0);
    case 'f': return clone(run_child, stack + sizeof stack, SIGCHLD, NULL);
    case 'x': return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
    case 'm': return mount("none", "/mnt", "tmpfs", 0, NULL);
    case 'p': return ptrace(PTRACE_SEIZE, tester, NULL, NULL);
    case 'v': return process_vm_readv(tester, &vector, 1, &vector, 1, 0);
    case 'e': return execv("/bin/true", arguments);
    // Something harmless that no server needs, as a future C library might call.
    case 'n': return syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0);
    // Whether the process can be dumped.
    case 'd': errno = EEXIST; return prctl(PR_GET_DUMPABLE) == 0 ? 0 : -1;
    // What a server does, so that the probe itself is known to work.
    case 'g': return open("/proc/meminfo", O_RDONLY);
    default: errno = EINVAL; return -1;
    }
}

static void *probe(void *ignored) {
    char command;
    while (read(commands, &command, 1) == 1) {
        char line[32];
        int length = snprintf(line, sizeof line, "%c %d\n", command, try(command) < 0 ? errno : 0);
        if (write(results, line, (size_t)length) < 0) break;
    }
    return ignored;
}

__attribute__((constructor)) static void start(void) {
    commands = open(getenv("PROBE_COMMANDS"), O_RDWR | O_CLOEXEC);
    results = open(getenv("PROBE_RESULTS"), O_WRONLY | O_APPEND | O_CLOEXEC);
    foreign_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tester = atoi(getenv("PROBE_TESTER"));
    // The server's signals are for the thread that waits for them.
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, &before);
    pthread_t thread;
    pthread_create(&thread, NULL, probe, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
