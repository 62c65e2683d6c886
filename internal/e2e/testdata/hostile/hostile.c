// hostile is a filter that does what a request asks for with "attack WORD" in
// its text, and passes everything else. It needs no library. See wasm_test.go.
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned char u8;
#define EXPORT(n) __attribute__((export_name(n)))
__attribute__((import_module("bh"), import_name("call"))) long long bh_call(u32 op, u32 ptr, u32 len);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write")))
u32 fd_write(u32 fd, const void *iov, u32 n, u32 *written);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("poll_oneoff")))
u32 poll_oneoff(const void *in, void *out, u32 n, u32 *events);

static u8 buf[1 << 20];
static volatile u32 sink;

EXPORT("bh_abi_1") void abi(void) {}
EXPORT("bh_alloc") u32 alloc(u32 n) { return n <= sizeof buf ? (u32)buf : 0; }

static int says(const u8 *p, u32 n, const char *word) {
  u32 len = 0;
  while (word[len]) len++;
  for (u32 i = 0; i + len <= n; i++) {
    u32 k = 0;
    while (k < len && p[i + k] == (u8)word[k]) k++;
    if (k == len) return 1;
  }
  return 0;
}

static void loop(void) { for (;;) sink++; }

// bomb takes memory page by page and writes to all of it, again and again.
static void bomb(void) {
  for (;;) {
    u32 page = __builtin_wasm_memory_grow(0, 1);
    u32 last = page == (u32)-1 ? __builtin_wasm_memory_size(0) : page + 1;
    for (u32 at = (u32)buf + sizeof buf; at < last << 16; at += 4096) *(volatile u8 *)at = 1;
  }
}

__attribute__((noinline)) static u32 recurse(u32 n) {
  volatile u8 frame[64];
  frame[n % 64] = (u8)n;
  return recurse(n + 1) + frame[(n + 1) % 64];
}

static void print(void) {
  static const char line[] = "no end of this\n";
  struct { const void *p; u32 n; } iov = {line, sizeof line - 1};
  u32 written;
  for (;;) fd_write(2, &iov, 1, &written);
}

// logs writes to the host's log by the ability of that name, without end.
static void logs(void) {
  for (;;) bh_call(1, (u32)"\x08\x04\x12\x04line", 8);
}

// sleep asks WASI for an hour, again and again.
static void sleep(void) {
  static u64 sub[6];
  static u8 event[32];
  u32 n;
  ((u8 *)sub)[8] = 0;  // clock
  ((u32 *)sub)[4] = 1; // monotonic
  sub[3] = 3600ull * 1000000000;
  for (;;) poll_oneoff(sub, event, 1, &n);
}

EXPORT("bh_handle") u64 handle(u32 ptr, u32 len) {
  const u8 *p = (const u8 *)ptr;
  if (says(p, len, "attack loop")) loop();
  if (says(p, len, "attack bomb")) bomb();
  if (says(p, len, "attack recurse")) return recurse(len);
  if (says(p, len, "attack panic")) __builtin_trap();
  if (says(p, len, "attack print")) print();
  if (says(p, len, "attack logs")) logs();
  if (says(p, len, "attack sleep")) sleep();
  if (says(p, len, "attack reply")) return 0xffffffff00000100ull;
  return 0;
}
