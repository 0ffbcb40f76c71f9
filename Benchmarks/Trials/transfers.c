// Ways to move bytes between a disk in memory and a socket, each in the smallest server that does nothing
// else, one after the other in rounds. What is not faster here cannot be faster in the real server.
//
//   gcc -O2 -o /tmp/transfers transfers.c -luring -lpthread && /tmp/transfers [ROUNDS] [SECONDS]
//
// "large": the server streams 128 KiB pieces, as replies to large READs; figures in GB/s.
// "small": 128 requests of 28 bytes are in flight, each is answered with 16 + 4096 bytes; thousands a second.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DISK = 40 << 20, PIECE = 128 << 10, DEPTH = 128, REQUEST = 28, HEADER = 16, BLOCK = 4096 };
enum { BUFFER = 256 << 10 };

static int memfd;
static char *disk;
static double seconds = 0.5;

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void bind_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void make_pair(int tcp, int pair[2]) {
    if (!tcp) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) die("socketpair");
        int size = 1 << 20;
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        return;
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listener, (void *)&address, length) < 0 || listen(listener, 1) < 0) die("listen");
    getsockname(listener, (void *)&address, &length);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(pair[0], (void *)&address, length) < 0) die("connect");
    pair[1] = accept(listener, NULL, NULL);
    for (int i = 0; i < 2; i++) setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
}

// MARK: large pieces out

static long send_copy(int s, off_t at) {
    struct iovec v[2] = {{disk, HEADER}, {disk + at, PIECE}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    return sendmsg(s, &m, MSG_NOSIGNAL);
}

static long reap_zerocopy(int s) {
    char control[128];
    struct msghdr m = {.msg_control = control, .msg_controllen = sizeof control};
    // A Unix socket has no such queue, and answers with the end of its own.
    return recvmsg(s, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0 || m.msg_controllen == 0 ? -1 : 0;
}

static long send_zerocopy(int s, off_t at) {
    struct iovec v[2] = {{disk, HEADER}, {disk + at, PIECE}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    long sent;
    while ((sent = sendmsg(s, &m, MSG_NOSIGNAL | MSG_ZEROCOPY)) < 0 && errno == ENOBUFS)
        while (reap_zerocopy(s) >= 0) {}
    int failure = errno;
    while (reap_zerocopy(s) >= 0) {}
    errno = failure;
    return sent;
}

static long send_file(int s, off_t at) {
    if (send(s, disk, HEADER, MSG_NOSIGNAL | MSG_MORE) < 0) return -1;
    size_t left = PIECE;
    while (left > 0) {
        long part = sendfile(s, memfd, &at, left);
        if (part <= 0) return -1;
        left -= part;
    }
    return HEADER + PIECE;
}

static int pipes[2] = {-1, -1};

static long send_splice(int s, off_t at) {
    if (pipes[0] < 0) {
        if (pipe(pipes) < 0) die("pipe");
        fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20);
    }
    if (send(s, disk, HEADER, MSG_NOSIGNAL | MSG_MORE) < 0) return -1;
    size_t left = PIECE;
    while (left > 0) {
        long part = splice(memfd, &at, pipes[1], NULL, left, SPLICE_F_MOVE);
        if (part <= 0) return -1;
        left -= part;
        for (long out = part; out > 0;) {
            long moved = splice(pipes[0], NULL, s, NULL, out, SPLICE_F_MOVE | SPLICE_F_MORE);
            if (moved <= 0) return -1;
            out -= moved;
        }
    }
    return HEADER + PIECE;
}

static struct io_uring ring;
static int ring_ready;

static void need_ring(unsigned flags) {
    if (ring_ready) io_uring_queue_exit(&ring);
    struct io_uring_params p = {.flags = flags};
    if (flags & IORING_SETUP_SQPOLL) p.sq_thread_idle = 1000;
    if (io_uring_queue_init_params(64, &ring, &p) < 0) die("io_uring");
    struct iovec v = {disk, DISK};
    if (io_uring_register_buffers(&ring, &v, 1) < 0) die("io_uring_register_buffers");
    ring_ready = 1;
}

static long send_ring_zerocopy(int s, off_t at) {
    if (!ring_ready) need_ring(0);
    struct io_uring_sqe *e = io_uring_get_sqe(&ring);
    io_uring_prep_send_zc_fixed(e, s, disk + at, PIECE, MSG_NOSIGNAL | MSG_WAITALL, 0, 0);
    io_uring_submit_and_wait(&ring, 1);
    long sent = -1;
    for (int waiting = 1; waiting;) {
        struct io_uring_cqe *c;
        io_uring_wait_cqe(&ring, &c);
        if (c->flags & IORING_CQE_F_NOTIF) waiting = 0;
        else {
            sent = c->res;
            if (!(c->flags & IORING_CQE_F_MORE)) waiting = 0;
        }
        io_uring_cqe_seen(&ring, c);
    }
    if (sent < 0) errno = -sent;
    return sent;
}

struct large { int socket; long (*send)(int, off_t); int failed; };

static void *serve_large(void *argument) {
    struct large *l = argument;
    bind_to(1);
    off_t at = 0;
    for (;;) {
        if (l->send(l->socket, at) <= 0) {
            l->failed = errno != EPIPE && errno != ECONNRESET ? errno : 0;
            return NULL;
        }
        at = (at + PIECE) % (DISK - PIECE);
    }
}

static double measure_large(int tcp, long (*send)(int, off_t)) {
    int pair[2];
    make_pair(tcp, pair);
    struct large l = {pair[1], send, 0};
    pthread_t thread;
    pthread_create(&thread, NULL, serve_large, &l);
    static char buffer[1 << 20];
    bind_to(0);
    double start = now(), moved = 0;
    while (now() - start < seconds && !l.failed) {
        struct timeval patience = {1, 0};
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        long part = recv(pair[0], buffer, sizeof buffer, 0);
        if (part <= 0) break;
        moved += part;
    }
    double rate = moved / (now() - start) / 1e9;
    shutdown(pair[0], SHUT_RDWR);
    close(pair[0]);
    pthread_join(thread, NULL);
    close(pair[1]);
    if (pipes[0] >= 0) { close(pipes[0]); close(pipes[1]); pipes[0] = -1; }
    if (ring_ready) { io_uring_queue_exit(&ring); ring_ready = 0; }
    return l.failed ? -l.failed : rate;
}

// MARK: small requests and their replies

static int fill_replies(struct iovec *v, int requests, unsigned *seed) {
    for (int i = 0; i < requests; i++) {
        *seed = *seed * 1103515245 + 12345;
        v[2 * i] = (struct iovec){disk, HEADER};
        v[2 * i + 1] = (struct iovec){disk + *seed % (DISK / BLOCK) * BLOCK, BLOCK};
    }
    return 2 * requests;
}

// Sends a whole list, as the real server does.
static int send_all(int s, struct iovec *v, int count) {
    while (count > 0) {
        struct msghdr m = {.msg_iov = v, .msg_iovlen = count};
        long sent = sendmsg(s, &m, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        while (count > 0 && sent >= (long)v->iov_len) { sent -= v->iov_len; v++; count--; }
        if (count > 0) { v->iov_base = (char *)v->iov_base + sent; v->iov_len -= sent; }
    }
    return 0;
}

static char requests_in[BUFFER];
static struct iovec replies[1024];

static void *serve_calls(void *argument) {
    int s = *(int *)argument, left = 0;
    unsigned seed = 1;
    bind_to(1);
    for (;;) {
        long got = recv(s, requests_in + left, BUFFER - left, 0);
        if (got <= 0) return NULL;
        got += left;
        int count = got / REQUEST;
        left = got % REQUEST;
        if (send_all(s, replies, fill_replies(replies, count, &seed)) < 0) return NULL;
    }
}

// One call submits the replies and the next receive, and waits for both.
static void *serve_ring(void *argument) {
    int s = *(int *)argument, left = 0;
    unsigned seed = 1;
    bind_to(1);
    int count = 0;
    for (;;) {
        struct io_uring_cqe *c;
        int expected = 1;
        struct msghdr m = {.msg_iov = replies, .msg_iovlen = fill_replies(replies, count, &seed)};
        if (count > 0) {
            struct io_uring_sqe *e = io_uring_get_sqe(&ring);
            io_uring_prep_sendmsg(e, s, &m, MSG_NOSIGNAL | MSG_WAITALL);
            io_uring_sqe_set_data64(e, 1);
            expected = 2;
        }
        struct io_uring_sqe *e = io_uring_get_sqe(&ring);
        io_uring_prep_recv(e, s, requests_in + left, BUFFER - left, 0);
        io_uring_sqe_set_data64(e, 2);
        io_uring_submit_and_wait(&ring, expected);
        long got = 0;
        for (int i = 0; i < expected; i++) {
            io_uring_wait_cqe(&ring, &c);
            int result = c->res;
            if (io_uring_cqe_get_data64(c) == 2) got = result;
            io_uring_cqe_seen(&ring, c);
            if (result <= 0) return NULL;
        }
        got += left;
        count = got / REQUEST;
        left = got % REQUEST;
    }
}

// The receive stays armed (multishot) and fills buffers of a ring; a send goes out with the wait.
static void *serve_multishot(void *argument) {
    int s = *(int *)argument, left = 0;
    unsigned seed = 1;
    bind_to(1);
    enum { BUFFERS = 16, SIZE = 16 << 10 };
    static char pool[BUFFERS][SIZE];
    int result;
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS, .bgid = 0};
    void *memory = NULL;
    if (posix_memalign(&memory, 4096, 4096)) die("memory");
    reg.ring_addr = (unsigned long)memory;
    if ((result = io_uring_register_buf_ring(&ring, &reg, 0)) < 0) { errno = -result; die("buf_ring"); }
    struct io_uring_buf_ring *buffers = memory;
    io_uring_buf_ring_init(buffers);
    for (int i = 0; i < BUFFERS; i++)
        io_uring_buf_ring_add(buffers, pool[i], SIZE, i, io_uring_buf_ring_mask(BUFFERS), i);
    io_uring_buf_ring_advance(buffers, BUFFERS);
    int armed = 0;
    for (;;) {
        if (!armed) {
            struct io_uring_sqe *e = io_uring_get_sqe(&ring);
            io_uring_prep_recv_multishot(e, s, NULL, 0, 0);
            e->flags |= IOSQE_BUFFER_SELECT;
            io_uring_sqe_set_data64(e, 2);
            armed = 1;
        }
        struct io_uring_cqe *c;
        io_uring_submit_and_wait(&ring, 1);
        int count = 0;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, c) {
            seen++;
            if (io_uring_cqe_get_data64(c) != 2) continue;
            if (!(c->flags & IORING_CQE_F_MORE)) armed = 0;
            if (c->res == -ENOBUFS) continue;
            if (c->res <= 0) { free(memory); return NULL; }
            int index = c->flags >> IORING_CQE_BUFFER_SHIFT;
            int got = c->res + left;
            count += got / REQUEST;
            left = got % REQUEST;
            io_uring_buf_ring_add(buffers, pool[index], SIZE, index, io_uring_buf_ring_mask(BUFFERS), 0);
            io_uring_buf_ring_advance(buffers, 1);
        }
        io_uring_cq_advance(&ring, seen);
        if (count == 0) continue;
        if (count > 500) count = 500;
        struct msghdr m = {.msg_iov = replies, .msg_iovlen = fill_replies(replies, count, &seed)};
        struct io_uring_sqe *e = io_uring_get_sqe(&ring);
        io_uring_prep_sendmsg(e, s, &m, MSG_NOSIGNAL | MSG_WAITALL);
        io_uring_sqe_set_data64(e, 1);
        // The list has to stay until it is sent: wait for that, and for no more.
        io_uring_submit_and_wait(&ring, 1);
    }
}

static double measure_small(int tcp, void *(*serve)(void *), int uses_ring, unsigned flags) {
    int pair[2];
    make_pair(tcp, pair);
    if (uses_ring) need_ring(flags);
    pthread_t thread;
    pthread_create(&thread, NULL, serve, &pair[1]);
    static char buffer[1 << 20], requests[DEPTH * REQUEST];
    bind_to(0);
    struct timeval patience = {1, 0};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    long inFlight = 0, pending = 0, done = 0;
    double start = now();
    while (now() - start < seconds) {
        if (send(pair[0], requests, (DEPTH - inFlight) * REQUEST, MSG_NOSIGNAL) < 0) break;
        inFlight = DEPTH;
        long part = recv(pair[0], buffer, sizeof buffer, 0);
        if (part <= 0) break;
        pending += part;
        long finished = pending / (HEADER + BLOCK);
        pending %= HEADER + BLOCK;
        inFlight -= finished;
        done += finished;
    }
    double rate = done / (now() - start) / 1000;
    shutdown(pair[0], SHUT_RDWR);
    close(pair[0]);
    pthread_join(thread, NULL);
    close(pair[1]);
    if (ring_ready) { io_uring_queue_exit(&ring); ring_ready = 0; }
    return rate;
}

static int compare(const void *a, const void *b) {
    return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    int rounds = count > 1 ? atoi(arguments[1]) : 5;
    if (count > 2) seconds = atof(arguments[2]);
    if (rounds < 1 || rounds > 99) rounds = 5;
    memfd = memfd_create("disk", 0);
    if (memfd < 0 || ftruncate(memfd, DISK) < 0) die("memfd");
    disk = mmap(NULL, DISK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd, 0);
    if (disk == MAP_FAILED) die("mmap");
    memset(disk, 0x5a, DISK);

    struct { const char *name; long (*send)(int, off_t); } large[] = {
        {"sendmsg", send_copy}, {"MSG_ZEROCOPY", send_zerocopy}, {"sendfile", send_file},
        {"splice", send_splice}, {"io_uring SEND_ZC", send_ring_zerocopy}};
    struct { const char *name; void *(*serve)(void *); int ring; unsigned flags; } small[] = {
        {"recv, sendmsg", serve_calls, 0, 0},
        {"io_uring", serve_ring, 1, 0},
        {"io_uring, single issuer", serve_ring, 1, IORING_SETUP_COOP_TASKRUN},
        {"io_uring SQPOLL", serve_ring, 1, IORING_SETUP_SQPOLL},
        {"io_uring multishot", serve_multishot, 1, 0}};
    enum { KINDS = 5 };
    double results[4][KINDS][99];
    for (int r = 0; r < rounds; r++)
        for (int k = 0; k < KINDS; k++)
            for (int tcp = 0; tcp < 2; tcp++) {
                results[tcp][k][r] = measure_large(tcp, large[k].send);
                results[2 + tcp][k][r] =
                    measure_small(tcp, small[k].serve, small[k].ring, small[k].flags);
            }
    const char *titles[] = {"large, Unix, GB/s", "large, TCP, GB/s", "small, Unix, k/s", "small, TCP, k/s"};
    for (int t = 0; t < 4; t++) {
        printf("%s\n", titles[t]);
        for (int k = 0; k < KINDS; k++) {
            double *v = results[t][k];
            qsort(v, rounds, sizeof *v, compare);
            const char *name = t < 2 ? large[k].name : small[k].name;
            if (v[0] < 0) printf("  %-24s %s\n", name, strerror((int)-v[0]));
            else printf("  %-24s %8.2f  (%.2f to %.2f)\n", name, v[rounds / 2], v[0], v[rounds - 1]);
        }
    }
    return 0;
}
