// Feeds byte streams to @xterm/headless and prints what it then shows, one JSON line for each stream.
// usage: xterm.mjs FOLDER_WITH_NODE_MODULES JOBS.json, a list of {cols, rows, feed: [FILE, ...]}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { Terminal } = createRequire(process.argv[2] + "/")("@xterm/headless");

// This terminal's own: without its add-ons it has the widths of Unicode 6, and an agent that took one of these for wide and
// moved the cursor leaves a gap that text printed in one go has not. Every code point here is wide since Unicode 9.
const WIDE_SINCE_UNICODE_9 = new Set([0x1f44d]);

function widen(term) {
  const six = term._core.unicodeService._activeProvider;
  const wide = (point) => WIDE_SINCE_UNICODE_9.has(point);
  term.unicode.register({
    version: "later",
    wcwidth: (point) => (wide(point) ? 2 : six.wcwidth(point)),
    // Width stands in bits 1 and 2.
    charProperties: (point, before) => (wide(point) ? 2 << 1 : six.charProperties(point, before)),
  });
  term.unicode.activeVersion = "later";
}

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
  widen(term);
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
