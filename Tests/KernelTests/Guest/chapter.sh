#!/bin/bash
# The chapter: serve, attach, ext4, mount, fio verify, df, unmount, detach, stop. Then once more on a machine
# without /etc/hosts, where a sentence says what is used in place of localhost.
set -euo pipefail

chapter=${BASH_SOURCE[0]%/*}/../../../scripts/lib/chapter
"$chapter"
mount --bind /dev/null /etc/hosts
"$chapter" | tee /tmp/chapter
grep -q "does not know the name localhost" /tmp/chapter
