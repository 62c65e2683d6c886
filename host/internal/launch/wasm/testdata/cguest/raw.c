// raw is a module without a runtime: the first byte of the event's id field in
// the request picks what it replies. See raw_test.go.
typedef unsigned int u32;
typedef unsigned long long u64;
#define EXPORT(n) __attribute__((export_name(n)))
__attribute__((import_module("bh"), import_name("call"))) long long bh_call(u32 op, u32 ptr, u32 len);

static unsigned char buf[1 << 20];
EXPORT("bh_abi_1") void abi(void) {}
EXPORT("bh_alloc") u32 alloc(u32 n) { return n <= sizeof buf ? (u32)buf : 0; }

// The host writes the mode and the reply of fuzz tests here.
static unsigned char reply[1 << 16];
EXPORT("test_reply") u32 where(void) { return (u32)reply; }
static u64 answer;
EXPORT("test_answer") void set(u64 v) { answer = v; }
EXPORT("test_call") long long test_call(u32 op, u32 ptr, u32 len) { return bh_call(op, ptr, len); }

EXPORT("bh_handle") u64 handle(u32 ptr, u32 len) {
  if (answer == 1) return (u64)ptr << 32 | len; // echo
  return answer;
}
