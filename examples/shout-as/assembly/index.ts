// shout is a filter in AssemblyScript: it upper-cases text, adds the tag "shout", and drops what contains a forbidden
// word. It reads and writes the few protobuf fields that it needs by hand (docs/wasm-abi.md; field numbers are those of
// proto/bridgehost/plugin/v1). Build it with build.sh. The runtime "stub" never frees memory, so filter makes no objects
// and no strings: all that it needs is made here, once.
import { Buffer, Fields } from "./wire";
import { configure, key } from "./config";

const request = new Buffer();
const reply = new Buffer();
const word = new Buffer(); // as configured
const loudWord = new Buffer(); // as shout makes it; empty = nothing is forbidden
const loud = new Buffer();
const part = new Buffer();
const whole = new Buffer();
const call = new Fields();
const change = new Fields();
const item = new Fields();
const text = new Fields();
const plain = new Fields();
const tags = new Fields();

/** filter writes the verdict about an Event into reply; an empty one is pass. */
function filter(at: usize, size: usize): void {
  let kind: u8 = 21; // item_created
  change.find(at, size, kind);
  if (!change.size) {
    kind = 22; // item_updated
    change.find(at, size, kind);
  }
  item.find(change.body, change.size, 1);
  text.find(item.body, item.size, 10);
  plain.find(text.body, text.size, 1);
  if (!plain.size) return;

  shout(loud, plain.body, plain.size);
  if (loudWord.size && loud.contains(loudWord)) {
    part.clear();
    part.text("contains the word \"");
    part.bytes(word.at, word.size);
    part.byte(0x22);
    reply.byte(0x08); // verb: drop
    reply.byte(1);
    reply.field(2, part.at, part.size);
    return;
  }

  let tagged = false;
  tags.over(item.body, item.size);
  while (tags.next()) {
    if (tags.number == 15 && tags.size == 5 && load<u32>(tags.body) == 0x756f6873 && load<u8>(tags.body + 4) == 0x74) tagged = true;
  }

  // Clear change.item.text, whose spans could otherwise not go away.
  reply.byte(0x22); reply.byte(5); reply.byte(0x0a); reply.byte(3); reply.byte(kind); reply.byte(1); reply.byte(10);
  // Patch: event { change { item { text { plain } tags } } }, from the inside out.
  part.clear();
  part.field(1, loud.at, loud.size);
  whole.clear();
  whole.field(10, part.at, part.size);
  if (!tagged) {
    part.clear();
    part.text("shout");
    whole.field(15, part.at, part.size);
  }
  part.clear();
  part.field(1, whole.at, whole.size);
  whole.clear();
  whole.field(kind, part.at, part.size);
  reply.field(3, whole.at, whole.size);
}

/**
 * shout writes n bytes into out with the letters of ASCII and Latin-1 in upper case, and only those; the length stays.
 * In UTF-8 U+00E0 to U+00FE are c3 a0 to c3 be.
 */
function shout(out: Buffer, from: usize, n: usize): void {
  out.clear();
  out.bytes(from, n);
  let before: u8 = 0;
  for (let i: usize = 0; i < n; i++) {
    const c = load<u8>(from + i);
    const ascii = c >= 0x61 && c <= 0x7a;
    const latin = before == 0xc3 && c >= 0xa0 && c <= 0xbe && c != 0xb7;
    if (ascii || latin) store<u8>(out.at + i, c - 0x20);
    before = c;
  }
}

/** open reads the configuration; an empty reply means that the facets are those of plugin.toml. */
function open(at: usize, size: usize): void {
  item.find(at, size, 1); // Config
  text.find(item.body, item.size, 2); // its JSON
  const wrong = configure(text.body, text.size, word);
  shout(loudWord, word.at, word.size);
  if (wrong == "") return;
  part.clear();
  part.text(wrong);
  whole.clear(); // a fault: key, problem, remedy
  whole.field(1, key.at, key.size);
  whole.field(2, part.at, part.size);
  part.clear();
  part.text("write word = \"forbidden\"");
  whole.field(3, part.at, part.size);
  part.clear();
  part.field(6, whole.at, whole.size); // the operator sees it with file, line and column
  reply.field(7, part.at, part.size);
}

export function bh_abi_1(): void {}

export function bh_alloc(n: usize): usize {
  request.reserve(n);
  return request.at;
}

export function bh_handle(at: usize, n: usize): u64 {
  reply.clear();
  call.over(at, n);
  if (call.next()) {
    if (call.number == 1) open(call.body, call.size);
    else if (call.number == 2) filter(call.body, call.size);
  }
  return reply.size ? ((reply.at as u64) << 32) | (reply.size as u64) : 0;
}
