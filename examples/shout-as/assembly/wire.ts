// The part of protobuf's encoding that a filter needs, on memory as it is.

/**
 * Fields walks over the fields of a message. Objects of it are made once, since the runtime "stub" never frees.
 */
export class Fields {
  number: u32 = 0;
  body: usize = 0;
  size: usize = 0;
  private at: usize = 0;
  private end: usize = 0;

  /** over begins a walk over n bytes. */
  over(at: usize, n: usize): void {
    this.at = at;
    this.end = at + n;
  }

  /** find walks to the last field of that number; size is 0 when there is none. */
  find(at: usize, n: usize, number: u32): void {
    let body: usize = 0, size: usize = 0;
    this.over(at, n);
    while (this.next()) {
      if (this.number == number) { body = this.body; size = this.size; }
    }
    this.body = body;
    this.size = size;
  }

  private varint(): u64 {
    let v: u64 = 0;
    for (let shift: u64 = 0; shift < 64 && this.at < this.end; shift += 7) {
      const c = load<u8>(this.at++);
      v |= ((c & 0x7f) as u64) << shift;
      if (c < 0x80) return v;
    }
    this.at = this.end + 1; // malformed: ends the walk
    return 0;
  }

  /** next goes to the next field; false at the end or at the first malformed byte. */
  next(): bool {
    if (this.at >= this.end) return false;
    const tag = this.varint();
    this.number = (tag >> 3) as u32;
    let n: u64 = 0;
    switch ((tag & 7) as i32) {
      case 0: this.varint(); break;
      case 1: n = 8; break;
      case 2: n = this.varint(); break;
      case 5: n = 4; break;
      default: return false;
    }
    if (this.at > this.end || n > ((this.end - this.at) as u64)) return false;
    this.body = this.at;
    this.size = n as usize;
    this.at += n as usize;
    return true;
  }
}

/** Buffer grows, and is kept for the next call: the runtime "stub" never frees. */
export class Buffer {
  at: usize = 0;
  size: usize = 0;
  private cap: usize = 0;

  reserve(cap: usize): void {
    if (cap <= this.cap) return;
    cap = max(cap, 2 * this.cap);
    const grown = heap.alloc(cap);
    memory.copy(grown, this.at, this.size);
    this.at = grown;
    this.cap = cap;
  }

  clear(): void { this.size = 0; }

  byte(c: u8): void {
    this.reserve(this.size + 1);
    store<u8>(this.at + this.size++, c);
  }

  bytes(from: usize, n: usize): void {
    this.reserve(this.size + n);
    memory.copy(this.at + this.size, from, n);
    this.size += n;
  }

  varint(v: u64): void {
    for (; v >= 0x80; v >>= 7) this.byte((v as u8) | 0x80);
    this.byte(v as u8);
  }

  /** field appends a string, bytes or a message. */
  field(number: u32, from: usize, n: usize): void {
    this.varint(((number as u64) << 3) | 2);
    this.varint(n as u64);
    this.bytes(from, n);
  }

  /** text appends the UTF-8 of a string constant. */
  text(s: string): void {
    const n = String.UTF8.byteLength(s) as usize;
    this.reserve(this.size + n);
    String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, this.at + this.size);
    this.size += n;
  }

  /** contains tells whether part, which is not empty, occurs. */
  contains(part: Buffer): bool {
    for (let i: usize = 0; i + part.size <= this.size; i++) {
      if (memory.compare(this.at + i, part.at, part.size) == 0) return true;
    }
    return false;
  }
}
