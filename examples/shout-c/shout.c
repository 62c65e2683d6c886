// shout is a filter in C: it upper-cases text, adds the tag "shout", and drops
// what contains a forbidden word. It reads and writes the few protobuf fields
// that it needs by hand (docs/wasm-abi.md; field numbers are those of
// proto/bridgehost/plugin/v1). Build it with build.sh.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

// plugin.toml goes into the module as a custom section.
__asm__(".section .custom_section.bridgehost.manifest,\"\",@\n"
        ".incbin \"plugin.toml\"\n");

// A piece of memory that belongs to somebody else.
typedef struct {
  const uint8_t *p;
  size_t n;
} slice;

// A buffer that grows; it is kept for the next call.
typedef struct {
  uint8_t *p;
  size_t n, cap;
} buffer;

static buffer request, reply, scratch;
static buffer word, loud_word; // as configured, and as shout makes it

static void reserve(buffer *b, size_t cap) {
  if (cap <= b->cap) return;
  if (cap < 2 * b->cap) cap = 2 * b->cap;
  b->p = realloc(b->p, cap);
  if (!b->p) __builtin_trap(); // out of memory: the host ends this instance
  b->cap = cap;
}

static void put(buffer *b, const void *p, size_t n) {
  reserve(b, b->n + n);
  if (n) memcpy(b->p + b->n, p, n);
  b->n += n;
}

static void put_byte(buffer *b, uint8_t c) { put(b, &c, 1); }

static void put_varint(buffer *b, uint64_t v) {
  for (; v >= 0x80; v >>= 7) put_byte(b, (uint8_t)v | 0x80);
  put_byte(b, (uint8_t)v);
}

static size_t varint_len(uint64_t v) {
  size_t n = 1;
  for (; v >= 0x80; v >>= 7) n++;
  return n;
}

// --- reading protobuf

static bool get_varint(slice *s, uint64_t *v) {
  *v = 0;
  for (int shift = 0; shift < 64 && s->n; shift += 7) {
    uint8_t c = *s->p++;
    s->n--;
    *v |= (uint64_t)(c & 0x7f) << shift;
    if (c < 0x80) return true;
  }
  return false;
}

// next takes a field off s; body is its content when it has a length.
static bool next(slice *s, uint32_t *field, slice *body) {
  uint64_t tag, n;
  *body = (slice){0};
  if (!s->n || !get_varint(s, &tag)) return false;
  *field = (uint32_t)(tag >> 3);
  switch (tag & 7) {
  case 0: return get_varint(s, &n);
  case 1: n = 8; break;
  case 2: if (!get_varint(s, &n)) return false; break;
  case 5: n = 4; break;
  default: return false;
  }
  if (n > s->n) return false;
  *body = (slice){s->p, (size_t)n};
  s->p += n;
  s->n -= (size_t)n;
  return true;
}

// find gives the content of the last field of that number, as protobuf wants it.
static bool find(slice s, uint32_t want, slice *out) {
  uint32_t field;
  slice body;
  bool found = false;
  while (next(&s, &field, &body))
    if (field == want) *out = body, found = true;
  return found;
}

// --- the filter

// shout appends s with the letters of ASCII and Latin-1 in upper case, and only
// those; the length stays. In UTF-8 U+00E0 to U+00FE are c3 a0 to c3 be.
static void shout(buffer *out, slice s) {
  reserve(out, out->n + s.n);
  uint8_t before = 0;
  for (size_t i = 0; i < s.n; i++) {
    uint8_t c = s.p[i];
    bool ascii = c >= 'a' && c <= 'z';
    bool latin = before == 0xc3 && c >= 0xa0 && c <= 0xbe && c != 0xb7;
    before = c;
    out->p[out->n++] = ascii || latin ? c - 0x20 : c;
  }
}

static bool contains(const buffer *text, const buffer *part) {
  for (size_t i = 0; part->n && i + part->n <= text->n; i++)
    if (!memcmp(text->p + i, part->p, part->n)) return true;
  return false;
}

// filter writes the verdict about an Event into reply; an empty one is pass.
static void filter(slice event) {
  slice change, item, text, plain, tags, tag;
  uint8_t kind = 21; // item_created
  if (!find(event, 21, &change)) {
    kind = 22; // item_updated
    if (!find(event, 22, &change)) return;
  }
  if (!find(change, 1, &item) || !find(item, 10, &text) || !find(text, 1, &plain) || !plain.n) return;

  scratch.n = 0;
  shout(&scratch, plain);
  if (contains(&scratch, &loud_word)) {
    put(&reply, "\x08\x01\x12", 3); // verb drop, reason
    put_varint(&reply, 19 + word.n + 1);
    put(&reply, "contains the word \"", 19);
    put(&reply, word.p, word.n);
    put_byte(&reply, '"');
    return;
  }

  bool tagged = false;
  uint32_t field;
  for (tags = item; next(&tags, &field, &tag);)
    if (field == 15 && tag.n == 5 && !memcmp(tag.p, "shout", 5)) tagged = true;

  // Clear change.item.text, whose spans could otherwise not go away.
  const uint8_t clear[] = {0x22, 5, 0x0a, 3, kind, 1, 10};
  put(&reply, clear, sizeof clear);
  // Patch: event { change { item { text { plain } tags } } }, lengths from the inside out.
  size_t in_text = 1 + varint_len(scratch.n) + scratch.n;
  size_t in_item = 1 + varint_len(in_text) + in_text + (tagged ? 0 : 7);
  size_t in_change = 1 + varint_len(in_item) + in_item;
  size_t in_event = 2 + varint_len(in_change) + in_change;
  put_byte(&reply, 0x1a);
  put_varint(&reply, in_event);
  put_varint(&reply, (uint64_t)kind << 3 | 2);
  put_varint(&reply, in_change);
  put_byte(&reply, 0x0a);
  put_varint(&reply, in_item);
  put_byte(&reply, 0x52);
  put_varint(&reply, in_text);
  put_byte(&reply, 0x0a);
  put_varint(&reply, scratch.n);
  put(&reply, scratch.p, scratch.n);
  if (!tagged) put(&reply, "\x7a\x05shout", 7);
}

// --- the configuration: a JSON object that the host wrote

static void skip_space(slice *s) {
  while (s->n && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++, s->n--;
}

static bool take(slice *s, uint8_t c) {
  skip_space(s);
  if (!s->n || *s->p != c) return false;
  s->p++, s->n--;
  return true;
}

static bool hex4(slice *s, uint32_t *v) {
  if (s->n < 4) return false;
  *v = 0;
  for (int i = 0; i < 4; i++, s->p++, s->n--) {
    uint8_t c = *s->p, low = c | 0x20;
    if (c >= '0' && c <= '9') *v = *v << 4 | (c - '0');
    else if (low >= 'a' && low <= 'f') *v = *v << 4 | (low - 'a' + 10);
    else return false;
  }
  return true;
}

static void put_rune(buffer *b, uint32_t r) {
  if (r < 0x80) { put_byte(b, (uint8_t)r); return; }
  if (r < 0x800) put_byte(b, 0xc0 | r >> 6);
  else {
    if (r < 0x10000) put_byte(b, 0xe0 | r >> 12);
    else { put_byte(b, 0xf0 | r >> 18); put_byte(b, 0x80 | (r >> 12 & 0x3f)); }
    put_byte(b, 0x80 | (r >> 6 & 0x3f));
  }
  put_byte(b, 0x80 | (r & 0x3f));
}

// json_string reads a string into out.
static bool json_string(slice *s, buffer *out) {
  out->n = 0;
  if (!take(s, '"')) return false;
  while (s->n) {
    uint8_t c = *s->p++;
    s->n--;
    if (c == '"') return true;
    if (c != '\\') { put_byte(out, c); continue; }
    if (!s->n) return false;
    c = *s->p++;
    s->n--;
    uint32_t r, low;
    switch (c) {
    case 'b': put_byte(out, '\b'); break;
    case 'f': put_byte(out, '\f'); break;
    case 'n': put_byte(out, '\n'); break;
    case 'r': put_byte(out, '\r'); break;
    case 't': put_byte(out, '\t'); break;
    case 'u':
      if (!hex4(s, &r)) return false;
      if (r >= 0xd800 && r < 0xdc00) { // the first half of a pair
        if (s->n < 2 || s->p[0] != '\\' || s->p[1] != 'u') return false;
        s->p += 2, s->n -= 2;
        if (!hex4(s, &low) || low < 0xdc00 || low > 0xdfff) return false;
        r = 0x10000 + ((r - 0xd800) << 10) + (low - 0xdc00);
      }
      put_rune(out, r);
      break;
    default: put_byte(out, c); // \" \\ and \/
    }
  }
  return false;
}

// fault writes an error that names a key of the configuration into reply; the
// operator sees it with file, line and column.
static void fault(const void *key, size_t n, const char *problem, const char *remedy) {
  size_t p = strlen(problem), r = strlen(remedy);
  size_t in_fault = 1 + varint_len(n) + n + 1 + varint_len(p) + p + 1 + varint_len(r) + r;
  put_byte(&reply, 0x3a); // error { faults { key, problem, remedy } }
  put_varint(&reply, 1 + varint_len(in_fault) + in_fault);
  put_byte(&reply, 0x32);
  put_varint(&reply, in_fault);
  put_byte(&reply, 0x0a), put_varint(&reply, n), put(&reply, key, n);
  put_byte(&reply, 0x12), put_varint(&reply, p), put(&reply, problem, p);
  put_byte(&reply, 0x1a), put_varint(&reply, r), put(&reply, remedy, r);
}

// configure reads {"word": "..."}.
static void configure(slice json) {
  word.n = 0;
  put(&word, "forbidden", 9);
  if (take(&json, '{') && !take(&json, '}')) {
    do {
      if (!json_string(&json, &scratch) || !take(&json, ':')) {
        fault("", 0, "is no table", "write word = \"forbidden\"");
        return;
      }
      if (scratch.n != 4 || memcmp(scratch.p, "word", 4)) {
        fault(scratch.p, scratch.n, "is not known", "the only key is word");
        return;
      }
      if (!json_string(&json, &word)) {
        fault("word", 4, "must be a string", "write word = \"forbidden\"");
        return;
      }
    } while (take(&json, ','));
  }
  loud_word.n = 0;
  shout(&loud_word, (slice){word.p, word.n});
}

// open reads the configuration; reply stays empty when it is good, which means
// that the facets are those of plugin.toml.
static void open(slice message) {
  slice config = {0}, json = {0};
  if (find(message, 1, &config)) find(config, 2, &json);
  configure(json);
}

// --- ABI 1

EXPORT(bh_abi_1) void bh_abi_1(void) {}

EXPORT(bh_alloc) uint8_t *bh_alloc(size_t n) {
  reserve(&request, n);
  return request.p;
}

EXPORT(bh_handle) uint64_t bh_handle(const uint8_t *p, size_t n) {
  slice message = {p, n}, body;
  uint32_t call;
  reply.n = 0;
  if (next(&message, &call, &body)) {
    if (call == 1) open(body);
    if (call == 2) filter(body);
  }
  return reply.n ? (uint64_t)(uintptr_t)reply.p << 32 | reply.n : 0;
}
