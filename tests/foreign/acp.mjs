// An ACP client that is not ours: the protocol's own library in front of a program given as arguments, for a test that
// speaks to it in lines of JSON. SDK=its folder. In: {"do":…}; out: {"heard":…}. Whatever the library finds wrong with a
// message, it throws, and that is said.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Readable, Writable } from "node:stream";
import { pathToFileURL } from "node:url";

const acp = await import(pathToFileURL(`${process.env.SDK}/dist/acp.js`));
const say = (heard, rest = {}) => process.stdout.write(`${JSON.stringify({ heard, ...rest })}\n`);
const [program, ...words] = process.argv.slice(2);
const agent = spawn(program, words, { stdio: ["pipe", "pipe", "inherit"] });
agent.on("exit", (status, signal) => say("exit", { status, signal }));
agent.stdin.on("error", () => {});

const asked = [];
const client = {
  sessionUpdate: async ({ sessionId, update }) => say("update", { session: sessionId, update }),
  requestPermission: (request) =>
    new Promise((answer) => {
      asked.push(answer);
      say("asked", { number: asked.length - 1, request });
    }),
};
const stream = acp.ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout));
const connection = new acp.ClientSideConnection(() => client, stream);

const told = (of, promise) =>
  promise.then(
    (result) => say("result", { of, result }),
    (error) => say("error", { of, code: error.code, message: String(error.message), data: error.data }),
  );
const acts = {
  initialize: () => connection.initialize({ protocolVersion: acp.PROTOCOL_VERSION, clientCapabilities: {} }),
  new: ({ cwd }) => connection.newSession({ cwd, mcpServers: [] }),
  load: ({ session, cwd }) => connection.loadSession({ sessionId: session, cwd, mcpServers: [] }),
  prompt: ({ session, text }) => connection.prompt({ sessionId: session, prompt: [{ type: "text", text }] }),
  mode: ({ session, mode }) => connection.setSessionMode({ sessionId: session, modeId: mode }),
  cancel: ({ session }) => connection.cancel({ sessionId: session }),
  answer: async ({ number, outcome }) => asked[number]({ outcome }),
};
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const act = JSON.parse(line);
    if (act.do === "kill") agent.kill("SIGKILL");
    else if (act.do === "end") agent.stdin.end();
    else told(act.do, acts[act.do](act));
  })
  .on("close", () => agent.kill());
