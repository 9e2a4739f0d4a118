#!/usr/bin/env python3
"""A client of Portcullis written from docs/protocol.md alone: `websockets` for the socket, ssh-keygen for keys.

usage: client.py --url wss://HOST:PORT --key FILE --user NAME --cafile FILE [--session NAME | --open AGENT] COMMAND ...
commands, in order on one connection:
  list                    print the sessions as JSON
  attach COLSxROWS|raw|exact
  send TEXT               input bytes (\\r, \\n, \\xNN as in Python)
  paste TEXT
  resize COLSxROWS
  until TEXT              read output until TEXT was seen (deadline 30 s)
  ended                   read until the session has ended; print its status
  history LINES           print history
  show                    print the screen
  kill
  -                       go on with commands from standard input, one word a line; answers `ok` on standard error after each
Output of the session goes to standard output; verdicts and errors, one JSON line each, to standard error. Status 1 on an
error message, 3 on a close code (printed), 4 on a deadline.
"""
import argparse
import asyncio
import base64
import json
import os
import ssl
import struct
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import websockets

DEADLINE = 30
WITH_ARGUMENT = ("attach", "send", "paste", "resize", "until", "history")


def fingerprint(path):
    listed = subprocess.run(["ssh-keygen", "-l", "-E", "sha256", "-f", path], check=True, capture_output=True, text=True)
    return listed.stdout.split()[1]


def origin_of(url):
    parts = urlsplit(url)
    host = parts.hostname
    if ":" in host:
        host = f"[{host}]"
    port = "" if parts.port in (None, 443) else f":{parts.port}"
    return f"wss://{host.lower()}{port}"


class Client:
    def __init__(self, socket):
        self.socket = socket
        self.number = 1
        self.channel = 1
        self.cursor = None
        self.input_offset = 0
        self.writer = os.urandom(16)
        self.seen = b""
        self.status = None

    async def ask(self, **body):
        self.number += 1
        number = str(self.number)
        await self.socket.send(json.dumps({"id": number, **body}))
        while True:
            message = await self.next()
            if isinstance(message, dict) and message.get("id") == number:
                if "error" in message:
                    note(message)
                    sys.exit(1)
                return message

    async def next(self):
        frame = await asyncio.wait_for(self.socket.recv(), DEADLINE)
        if isinstance(frame, bytes):
            channel, offset = struct.unpack(">IQ", frame[:12])
            data = frame[12:]
            if self.cursor is not None and offset < self.cursor["offset"]:
                data = data[self.cursor["offset"] - offset:]
            self.output(data)
            if self.cursor is not None:
                self.cursor["offset"] = max(self.cursor["offset"], offset + len(frame) - 12)
            return frame
        message = json.loads(frame)
        for kind in ("snapshot", "frame"):
            if kind in message:
                piece = message[kind]
                self.output(base64.b64decode(piece.get("data", "")))
                if kind == "snapshot" and not piece.get("more") and piece.get("reason") != "history":
                    self.cursor["offset"] = int(piece.get("offset", "0"))
        if "ended" in message:
            self.status = message["ended"].get("exit", {})
        if "error" in message and message.get("id", "0") == "0":
            note(message)
        return message

    def output(self, data):
        self.seen = (self.seen + data)[-1_000_000:]
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    async def attach(self, session, how):
        attach = {"session": session, "channel": self.channel, "writer": base64.b64encode(self.writer).decode()}
        if how == "exact":
            attach["mode"] = "VIEWER_MODE_EXACT"
        elif how == "raw":
            attach["mode"] = "VIEWER_MODE_RAW"
        else:
            attach["mode"] = "VIEWER_MODE_FITTED"
            attach["size"] = size(how)
        attached = (await self.ask(attach=attach))["attached"]
        note({"attached": attached})
        self.cursor = {"log_id": attached["log_id"], "offset": int(attached.get("offset", "0"))}
        self.input_offset = int(attached.get("input_offset", "0"))

    async def send(self, data):
        await self.socket.send(struct.pack(">IQ", self.channel, self.input_offset) + data)
        self.input_offset += len(data)

    async def paste(self, data):
        self.number += 1
        body = {"channel": self.channel, "offset": str(self.input_offset), "text": base64.b64encode(data).decode()}
        await self.socket.send(json.dumps({"id": str(self.number), "paste": body}))
        self.input_offset += len(data)

    async def until(self, wanted):
        while wanted not in self.seen:
            await self.next()
        self.seen = self.seen[self.seen.index(wanted) + len(wanted):]


def size(text):
    cols, rows = text.split("x")
    return {"cols": int(cols), "rows": int(rows)}


def note(message):
    print(json.dumps(message), file=sys.stderr, flush=True)


def unescape(text):
    return text.encode().decode("unicode_escape").encode("latin-1")


async def log_in(socket, url, key, user):
    challenge = json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))["challenge"]
    client_nonce = base64.b64encode(os.urandom(32)).decode()
    with tempfile.TemporaryDirectory() as directory:
        server = os.path.join(directory, "server.pub")
        with open(server, "w") as file:
            file.write(challenge["server_key"] + "\n")
        lines = [
            "context portcullis-auth-v1", "purpose login", f"origin {origin_of(url)}", f"server {fingerprint(server)}",
            f"server-nonce {challenge['nonce']}", f"client-nonce {client_nonce}", f"user {user}",
            f"key {fingerprint(key + '.pub')}", "tls-exporter -",
        ]
        text = "".join(line + "\n" for line in lines)
        sign = ["ssh-keygen", "-Y", "sign", "-n", "portcullis-auth-v1", "-f", key]
        signature = subprocess.run(sign, input=text, check=True, capture_output=True, text=True).stdout
        with open(key + ".pub") as file:
            public_key = " ".join(file.read().split()[:2])
        login = {
            "user": user, "origin": origin_of(url), "public_key": public_key, "client_nonce": client_nonce,
            "binding": "none", "signature": signature, "client": "foreign-client 1",
        }
        await socket.send(json.dumps({"id": "1", "login": login}))
        answer = json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))
        if "ready" not in answer:
            note(answer)
            # The close code follows and says the rest.
            await asyncio.wait_for(socket.recv(), DEADLINE)
            sys.exit(1)
        check_proof(directory, challenge["server_key"], text, answer["ready"]["signature"])
    return answer["ready"]


def check_proof(directory, server_key, text, proof):
    import hashlib
    allowed, signature = os.path.join(directory, "allowed"), os.path.join(directory, "proof.sig")
    with open(allowed, "w") as file:
        file.write(f"gateway {server_key}\n")
    with open(signature, "w") as file:
        file.write(proof)
    verify = ["ssh-keygen", "-Y", "verify", "-n", "portcullis-auth-v1-server", "-I", "gateway", "-f", allowed, "-s", signature]
    subprocess.run(verify, input=hashlib.sha512(text.encode()).digest(), check=True, capture_output=True)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("--url", "--key", "--user", "--cafile"):
        parser.add_argument(name, required=True)
    parser.add_argument("--session")
    parser.add_argument("--open")
    parser.add_argument("commands", nargs="*")
    arguments = parser.parse_args()
    # The gateway's own certificate, or a CA: the login itself is not bound to this connection.
    tls = ssl.create_default_context(cafile=arguments.cafile)
    async with websockets.connect(arguments.url + "/v1/ws", ssl=tls, max_size=4 << 20, compression=None) as socket:
        note({"ready": await log_in(socket, arguments.url, arguments.key, arguments.user)})
        client = Client(socket)
        session = arguments.session
        if arguments.open:
            session = (await client.ask(open={"agent": arguments.open}))["session"]["session_id"]
        await run(client, session, iter(arguments.commands))


async def next_lines():
    """A command and its argument, each on a line; the argument's line may be empty."""
    command = (await asyncio.to_thread(sys.stdin.readline)).rstrip("\n")
    if not command:
        return []
    return [command, (await asyncio.to_thread(sys.stdin.readline)).rstrip("\n")] if command in WITH_ARGUMENT else [command]


async def run(client, session, words):
    for word in words:
        if word == "-":
            while lines := await next_lines():
                await run(client, session, iter(lines))
                note({"ok": lines[0]})
            return
        if word == "list":
            print(json.dumps((await client.ask(list={}))["sessions"]))
        elif word == "attach":
            await client.attach(session, next(words))
        elif word == "send":
            await client.send(unescape(next(words)))
        elif word == "paste":
            await client.paste(unescape(next(words)))
        elif word == "resize":
            client.number += 1
            body = {"channel": client.channel, "size": size(next(words))}
            await client.socket.send(json.dumps({"id": str(client.number), "resize": body}))
        elif word == "until":
            await client.until(unescape(next(words)))
        elif word == "ended":
            while client.status is None:
                await client.next()
            note({"status": client.status})
        elif word == "history":
            client.number += 1
            body = {"channel": client.channel, "lines": int(next(words))}
            await client.socket.send(json.dumps({"id": str(client.number), "history": body}))
            while True:
                message = await client.next()
                if isinstance(message, dict) and message.get("id") == str(client.number):
                    if not message.get("snapshot", {}).get("more"):
                        break
        elif word == "show":
            print((await client.ask(show={"session": session}))["text"].get("text", ""))
        elif word == "kill":
            await client.ask(kill={"session": session})
        else:
            sys.exit(f"no command {word!r}")


try:
    asyncio.run(main())
except websockets.ConnectionClosed as closed:
    note({"close": {"code": closed.rcvd.code if closed.rcvd else 1006, "reason": closed.rcvd.reason if closed.rcvd else ""}})
    sys.exit(3)
except (asyncio.TimeoutError, TimeoutError):
    note({"late": DEADLINE})
    sys.exit(4)
