// The link's config table: a JSON object that the host wrote.
import { Buffer } from "./wire";

let at: usize = 0, end: usize = 0;

/** key is the one that is at fault. */
export const key = new Buffer();

/** configure reads {"word": "..."} into word and returns what is wrong with key, or "". */
export function configure(from: usize, n: usize, word: Buffer): string {
  at = from;
  end = from + n;
  word.clear();
  word.text("forbidden");
  if (!take(0x7b) || take(0x7d)) return ""; // {}
  do {
    if (!text(key) || !take(0x3a)) {
      key.clear();
      return "is no table";
    }
    if (String.UTF8.decodeUnsafe(key.at, key.size) != "word") return "is not known; the only key is word";
    if (!text(word)) return "must be a string";
  } while (take(0x2c));
  return "";
}

function take(c: u8): bool {
  while (at < end && (load<u8>(at) == 0x20 || (load<u8>(at) >= 9 && load<u8>(at) <= 13))) at++;
  if (at >= end || load<u8>(at) != c) return false;
  at++;
  return true;
}

function text(out: Buffer): bool {
  out.clear();
  if (!take(0x22)) return false;
  while (at < end) {
    let c = load<u8>(at++);
    if (c == 0x22) return true;
    if (c != 0x5c) { out.byte(c); continue; }
    if (at >= end) return false;
    c = load<u8>(at++);
    switch (c) {
      case 0x62: out.byte(8); break; // b
      case 0x66: out.byte(12); break; // f
      case 0x6e: out.byte(10); break; // n
      case 0x72: out.byte(13); break; // r
      case 0x74: out.byte(9); break; // t
      case 0x75: { // uXXXX, or a pair of them
        let r = hex4();
        if (r >= 0xd800 && r < 0xdc00) {
          if (at + 6 > end || load<u16>(at) != 0x755c) return false;
          at += 2;
          const low = hex4();
          if (low < 0xdc00 || low > 0xdfff) return false;
          r = 0x10000 + ((r - 0xd800) << 10) + (low - 0xdc00);
        }
        if (r < 0) return false;
        rune(out, r as u32);
        break;
      }
      default: out.byte(c); // " \ and /
    }
  }
  return false;
}

function hex4(): i32 {
  if (at + 4 > end) return -1;
  let v = 0;
  for (let i = 0; i < 4; i++) {
    const c = load<u8>(at++) as i32;
    const low = c | 0x20;
    if (c >= 0x30 && c <= 0x39) v = (v << 4) | (c - 0x30);
    else if (low >= 0x61 && low <= 0x66) v = (v << 4) | (low - 0x61 + 10);
    else return -1;
  }
  return v;
}

function rune(out: Buffer, r: u32): void {
  if (r < 0x80) { out.byte(r as u8); return; }
  if (r < 0x800) out.byte((0xc0 | (r >> 6)) as u8);
  else {
    if (r < 0x10000) out.byte((0xe0 | (r >> 12)) as u8);
    else {
      out.byte((0xf0 | (r >> 18)) as u8);
      out.byte((0x80 | ((r >> 12) & 0x3f)) as u8);
    }
    out.byte((0x80 | ((r >> 6) & 0x3f)) as u8);
  }
  out.byte((0x80 | (r & 0x3f)) as u8);
}
