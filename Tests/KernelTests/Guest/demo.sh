#!/bin/bash
# The demo: serve, attach, ext4, mount, fio verify, df, unmount, detach, stop. Then once more on a machine
# without /etc/hosts, where the demo says which address it uses in place of localhost.
set -euo pipefail

demo=${BASH_SOURCE[0]%/*}/../../../scripts/lib/demo
"$demo"
mount --bind /dev/null /etc/hosts
"$demo" | tee /tmp/demo
grep -q "does not know the name localhost" /tmp/demo
