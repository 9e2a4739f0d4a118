"""Runs in a session and writes what happens to it to a file: first its tty, uid and size, then each size and each read.

usage: witness.py FILE. A `!` is answered on the screen with the number of bytes read so far; Ctrl-D ends it with status 3.
"""
import fcntl
import json
import os
import select
import signal
import struct
import sys
import termios
import tty

log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def write(**what):
    os.write(log, (json.dumps(what) + "\n").encode())


def size():
    rows, cols = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))[:2]
    return [cols, rows]


signals, wakeup = os.pipe()
os.set_blocking(wakeup, False)
signal.set_wakeup_fd(wakeup)
signal.signal(signal.SIGWINCH, lambda *_: None)
tty.setraw(0)
write(tty=os.ttyname(0), uid=os.getuid(), size=size(), pid=os.getpid())
# In two halves, so that the command line that started this does not show it.
os.write(1, b"\x1b[2J\x1b[Hwitness-" + b"ready\r\n")
total = 0
while True:
    ready, _, _ = select.select([0, signals], [], [])
    if signals in ready:
        os.read(signals, 512)
        write(size=size())
    if 0 in ready:
        data = os.read(0, 65536)
        total += len(data)
        write(read=data.hex())
        if b"\x04" in data or not data:
            sys.exit(3)
        if b"!" in data:
            os.write(1, f"read-{total}\r\n".encode())
