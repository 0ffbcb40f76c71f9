#!/bin/bash
# The chapter: serve, attach, ext4, mount, fio verify, df, unmount, detach, stop.
set -euo pipefail

exec "${BASH_SOURCE[0]%/*}/../../../scripts/lib/chapter"
