"""Puts load on the control socket of ramdisk-nbd: control_load.py snapshots|scrape SOCKET SECONDS

Prints how much it did as JSON. A program of its own, so that the kernel schedules it as others.
"""
import json
import socket
import sys
import time


def request(path, method, target):
    """Sends one HTTP request, and returns the number of bytes of the response."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                           "Content-Length: 0\r\n\r\n".encode())
        response = b""
        while part := connection.recv(1 << 16):
            response += part
    status = response.partition(b"\r\n")[0].decode()
    if " 20" not in status:
        sys.exit(f"control_load: {method} {target}: {status or 'no response'}")
    return len(response)


def main():
    what, path, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    started = time.monotonic()
    count = 0
    while time.monotonic() - started < seconds:
        if what == "snapshots":
            request(path, "POST", "/snapshots?name=bench")
            request(path, "DELETE", "/snapshots?name=bench&force=true")
        else:
            request(path, "GET", "/metrics")
        count += 1
    print(json.dumps({"count": count, "per_second": count / (time.monotonic() - started)}))


if __name__ == "__main__":
    main()
