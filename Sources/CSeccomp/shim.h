// libseccomp from the system, with its macros that have arguments, which Swift does not import.
#ifndef CSECCOMP_H
#define CSECCOMP_H

// For the arguments that rules compare: the C library has them only under _GNU_SOURCE.
#include <linux/prctl.h>
#include <linux/sched.h>
#include <seccomp.h>

/// The action that has a call fail with an error.
static inline uint32_t cseccomp_errno(uint16_t error) { return SCMP_ACT_ERRNO(error); }

#endif
