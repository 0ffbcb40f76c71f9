"""Boots a kernel in QEMU, whose clock counts instructions, and reads what the script guest prints."""
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
# Minutes that one target may take: one, if nothing else runs on this machine.
PATIENCE = 30
INIT = """#!/bin/bash
export PATH=/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing
for module in /lib/modules/*.ko; do insmod "$module"; done
ip link set lo up
stty -F /dev/ttyS1 -opost
guest {arguments} </dev/null >/dev/ttyS1 2>&1
echo "status $?" >/dev/ttyS1
# Setting it again waits until the serial line has sent everything.
stty -F /dev/ttyS1 -opost
poweroff -f
"""


class Failed(Exception):
    """A target could not be measured; the message says why."""


class Machine:
    """A kernel with the programs that are compared, in a directory that ends with this object."""

    def __init__(self, directory, program):
        self.directory = directory
        result = subprocess.run([HERE / "prepare", directory, program])
        if result.returncode != 0:
            raise Failed("the guest's file system could not be made")

    def kernel(self):
        """The version of the kernel."""
        text = subprocess.run(["file", "-b", self.directory / "vmlinuz"], capture_output=True, text=True).stdout
        return text.partition("version ")[2].split(" ")[0]

    def run(self, arguments):
        """Boots, runs guest with these arguments, and returns the lines that it prints."""
        init = self.directory / "root" / "init"
        init.write_text(INIT.format(arguments=" ".join(arguments)))
        init.chmod(0o755)
        with open(self.directory / "initramfs", "wb") as archive:
            subprocess.run("find . | busybox cpio -o -H newc", shell=True, cwd=self.directory / "root",
                           stdout=archive, stderr=subprocess.DEVNULL, check=True)
        output, messages = self.directory / "output", self.directory / "kernel.log"
        output.unlink(missing_ok=True)
        try:
            subprocess.run(self.command(output, messages), stdin=subprocess.DEVNULL, timeout=PATIENCE * 60, check=True)
        except subprocess.TimeoutExpired:
            raise Failed(f"it did not end within {PATIENCE} minutes") from None
        except subprocess.CalledProcessError as error:
            raise Failed(f"QEMU ended with status {error.returncode}") from None
        lines = output.read_text(errors="replace").splitlines()
        if not lines or lines[-1] != "status 0":
            raise Failed(" / ".join(lines[-3:] or messages.read_text(errors="replace").splitlines()[-3:]))
        return lines[:-1]

    def command(self, output, messages):
        """One instruction is one nanosecond of the guest's clock (-icount shift=0). While the guest is idle, the clock
        jumps to the next timer (sleep=off). One processor, as counting allows no more."""
        return [
            "qemu-system-x86_64", "-accel", "tcg,thread=single,tb-size=512",
            "-icount", "shift=0,sleep=off,align=off", "-rtc", "base=2026-01-01,clock=vm",
            # Without these two features, memory is copied by loops as long as on a real processor's vector unit.
            # With them QEMU counts each byte that is copied as an instruction.
            "-smp", "1", "-cpu", "max,-erms,-fsrm", "-m", "1536M",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(self.directory / "vmlinuz"), "-initrd", str(self.directory / "initramfs"),
            # QEMU 7.2 executes the kernel's cmpxchg16b wrongly now and then; programs may use it.
            "-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off clearcpuid=cx16",
            "-chardev", f"file,id=messages,path={messages}", "-serial", "chardev:messages",
            "-chardev", f"file,id=output,path={output}", "-serial", "chardev:output"]


def versions(root):
    """The first line that each program of the guest prints about its version."""
    found = {}
    for name, option in [("ramdisk-nbd", "--version"), ("nbdkit", "--version"), ("qemu-nbd", "--version"),
                         ("nbd-server", "-V"), ("nbd-client", "-V"), ("fio", "--version")]:
        program = shutil.which(name, path=f"{root}/bin")
        if program:
            result = subprocess.run([program, option], capture_output=True, text=True,
                                    env={**os.environ, "LC_ALL": "C"})
            line = (result.stdout + result.stderr).strip().partition("\n")[0]
            # Some print the path that they were started with.
            found[name] = line.removeprefix("This is ").removeprefix(f"{root}/bin/")
    return found
