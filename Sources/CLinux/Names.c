// Queries to name servers. A file of its own, as resolv.h has macros with the names of members of other structs.
#include "CLinux.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

int clinux_query_services(
    const char *name, const char *server, uint16_t port, uint8_t *answer, int capacity) {
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) < 0) return -NO_RECOVERY;
    int length = -1;
    int error = NO_RECOVERY;
    if (server) {
        memset(&state.nsaddr_list[0], 0, sizeof state.nsaddr_list[0]);
        state.nscount = 1;
        state.nsaddr_list[0].sin_family = AF_INET;
        state.nsaddr_list[0].sin_port = htons(port);
    }
    if (!server || inet_pton(AF_INET, server, &state.nsaddr_list[0].sin_addr) == 1) {
        length = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, capacity);
        if (state.res_h_errno > 0) error = state.res_h_errno;
    }
    res_nclose(&state);
    if (length < 0) return -error;
    return length < capacity ? length : capacity;
}
