"""The path of a request through a whole kernel, counted in QEMU: scripts/bench --kernel."""
