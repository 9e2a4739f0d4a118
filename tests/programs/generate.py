#!/usr/bin/env python3
"""A session's program that knows what it printed and what it read; that knowledge is the oracle of the tests.

Puts its terminal into raw mode, says READY-42 and waits for the first byte of input. Then it prints numbered records of
64 bytes, `--rate` MiB a second (0: as fast as the terminal takes them), hashing them itself, until `--mib` are printed
(0: until it reads the byte 0x04). It ends when it has read 0x04. What it reads goes to `--input`, except 0x04; a
hang-up is noted in `--hangups`; pid, start, totals and hash go to `--totals`.
"""

import argparse
import hashlib
import json
import os
import signal
import threading
import time
import tty

STOP = b"\x04"
RECORD = 64
BLOCK = 64
PATTERN = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+/"


def record(number):
    turn = number * 7 % 64
    body = b"r%015d " % number + PATTERN[turn:] + PATTERN[:turn]
    return body[: RECORD - 2] + b"\r\n"


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--rate", type=float, default=0)
    words.add_argument("--mib", type=float, default=0)
    words.add_argument("--input", required=True)
    words.add_argument("--totals", required=True)
    words.add_argument("--hangups", required=True)
    words = words.parse_args()

    def hangup(*_):
        with open(words.hangups, "a") as file:
            file.write("HUP\n")

    signal.signal(signal.SIGHUP, hangup)
    tty.setraw(0)
    started, stop, typed = threading.Event(), threading.Event(), 0

    def read():
        nonlocal typed
        with open(words.input, "ab", buffering=0) as file:
            while not stop.is_set():
                data = os.read(0, 65536)
                if not data or STOP in data:
                    stop.set()
                data = data.replace(STOP, b"")
                typed += len(data)
                file.write(data)
                started.set()

    os.write(1, b"READY-%d\r\n" % (40 + 2))
    threading.Thread(target=read, daemon=True).start()
    started.wait()

    digest, number, most = hashlib.sha256(), 0, int(words.mib * (1 << 20)) // RECORD
    began = time.monotonic()
    while not (most and number >= most) and not (not most and stop.is_set()):
        count = min(BLOCK, most - number) if most else BLOCK
        block = b"".join(record(number + index) for index in range(count))
        digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(1, view) :]
        number += count
        if words.rate:
            ahead = number * RECORD / (words.rate * (1 << 20)) - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)
    seconds = time.monotonic() - began
    stop.wait()
    totals = {
        "printed": number * RECORD,
        "sha256": digest.hexdigest(),
        "typed": typed,
        "seconds": seconds,
    }
    with open(words.totals + ".new", "w") as file:
        json.dump(totals, file)
    os.rename(words.totals + ".new", words.totals)


main()
