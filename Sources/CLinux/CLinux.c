// The shims are inline functions in the header; a target needs one source file to be one.
#include "CLinux.h"
