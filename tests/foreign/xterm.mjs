// Feeds byte streams to @xterm/headless and prints what it then shows, one JSON line for each stream.
// usage: xterm.mjs FOLDER_WITH_NODE_MODULES JOBS.json, a list of {cols, rows, feed: [FILE, ...]}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { Terminal } = createRequire(process.argv[2] + "/")("@xterm/headless");

// One cell as the person sees it: text, then colours and attributes.
function look(term, cell) {
  const pen = [];
  const color = (mode, value) => (mode === 0 ? "-" : `${mode >> 24}:${value}`);
  pen.push(color(cell.getFgColorMode(), cell.getFgColor()), color(cell.getBgColorMode(), cell.getBgColor()));
  for (const name of ["Bold", "Dim", "Italic", "Blink", "Inverse", "Invisible", "Strikethrough", "Overline"]) {
    if (cell["is" + name]()) pen.push(name);
  }
  const more = cell.extended;
  if (cell.isUnderline()) pen.push(`Underline${more.underlineStyle}`, `on${more.underlineColor & 0x3ffffff}`);
  if (more?.urlId) pen.push(`link=${term._core._oscLinkService.getLinkData(more.urlId)?.uri}`);
  return [cell.getWidth(), cell.getChars() || " ", pen.join(" ")];
}

function row(term, line) {
  const runs = [];
  for (let x = 0; x < term.cols; x += 1) {
    const [width, text, pen] = look(term, line.getCell(x));
    if (width === 0) continue;
    if (runs.length && runs.at(-1)[0] === pen) runs.at(-1)[1] += text;
    else runs.push([pen, text]);
  }
  return { wrapped: line.isWrapped, runs };
}

for (const job of JSON.parse(readFileSync(process.argv[3], "utf8"))) {
  const term = new Terminal({ cols: job.cols, rows: job.rows, allowProposedApi: true, logLevel: "off" });
  let title = "";
  let answered = "";
  term.onTitleChange((text) => (title = text));
  term.onData((text) => (answered += text));
  term.onBinary((text) => (answered += text));
  for (const file of job.feed) await new Promise((done) => term.write(new Uint8Array(readFileSync(file)), done));
  const buffer = term.buffer.active;
  const rows = [];
  for (let y = 0; y < term.rows; y += 1) rows.push(row(term, buffer.getLine(buffer.baseY + y)));
  const core = term._core.coreService;
  console.log(JSON.stringify({
    screen: buffer.type, cursor: [buffer.cursorX, buffer.cursorY], hidden: core.isCursorHidden, title, answered,
    modes: term.modes, keypad: core.decPrivateModes.applicationKeypad, rows,
  }));
  term.dispose();
}
