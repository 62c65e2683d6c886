// Functions on which metered and plain modules are compared. Each exported
// function takes and returns an i32 and depends on nothing else.
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(n) __attribute__((export_name(n)))
typedef uint32_t u32;
typedef uint64_t u64;

static u32 heap[1 << 14];

EXPORT("fib") u32 fib(u32 n) { n %= 20; return n < 2 ? n : fib(n - 1) + fib(n - 2); }

EXPORT("sieve") u32 sieve(u32 n) {
  n %= 16384;
  u32 count = 0;
  for (u32 i = 0; i < n; i++) heap[i] = 1;
  for (u32 i = 2; i < n; i++) {
    if (!heap[i]) continue;
    count++;
    for (u64 j = (u64)i * i; j < n; j += i) heap[j] = 0;
  }
  return count;
}

EXPORT("switch") u32 swtch(u32 n) {
  u32 acc = n;
  for (u32 i = 0; i < 64; i++) {
    switch ((acc + i) % 11) {
    case 0: acc += 3; break;
    case 1: acc ^= 0x55; break;
    case 2: acc *= 7; break;
    case 3: acc -= i; break;
    case 4: acc = acc << 3 | acc >> 29; break;
    case 5: acc |= 1; break;
    case 6: acc += acc >> 5; break;
    case 7: if (acc & 1) continue; acc++; break;
    case 8: acc ^= i * 2654435761u; break;
    case 9: acc = ~acc; break;
    default: acc += n;
    }
  }
  return acc;
}

static u32 op_add(u32 a) { return a + 13; }
static u32 op_mul(u32 a) { return a * 31; }
static u32 op_xor(u32 a) { return a ^ 0xdeadbeef; }
static u32 op_rot(u32 a) { return a >> 7 | a << 25; }
static u32 (*volatile ops[4])(u32) = {op_add, op_mul, op_xor, op_rot};
EXPORT("indirect") u32 indirect(u32 n) {
  u32 acc = n;
  for (u32 i = 0; i < 100; i++) acc = ops[(acc >> 3) & 3](acc);
  return acc;
}

EXPORT("floats") u32 floats(u32 n) {
  double x = 1.0 + (double)(n % 1000), y = 0.5;
  float f = (float)n;
  for (int i = 0; i < 50; i++) {
    x = x / 1.0001 + __builtin_sqrt(y + i);
    y = __builtin_floor(x) * 0.25 - __builtin_trunc(y);
    f = f * 0.99f + (float)x;
  }
  return (u32)(int)x ^ (u32)(long long)(y * 1e6) ^ (u32)f ^ (u32)(int64_t)(f * 1e20);
}

EXPORT("bulk") u32 bulk(u32 n) {
  n %= 4096;
  __builtin_memset(heap, (int)n, n);
  __builtin_memcpy((char *)heap + 8192, heap, n);
  __builtin_memmove((char *)heap + 1, heap, n);
  u32 acc = 0;
  for (u32 i = 0; i < n + 64; i++) acc = acc * 33 + ((unsigned char *)heap)[i] + ((unsigned char *)heap)[8192 + i];
  return acc;
}

EXPORT("simd") u32 simd(u32 n) {
  v128_t a = wasm_i32x4_make(n, n + 1, n * 3, ~n), acc = wasm_i64x2_splat(0);
  for (int i = 0; i < 40; i++) {
    v128_t s = wasm_i8x16_shuffle(a, acc, 0, 17, 2, 19, 4, 21, 6, 23, 8, 25, 10, 27, 12, 29, 14, 31);
    acc = wasm_i32x4_add(acc, wasm_v128_xor(s, wasm_i32x4_const(1, 2, 3, 4)));
    acc = wasm_i16x8_mul(acc, wasm_i16x8_splat((short)i));
    a = wasm_i64x2_extmul_low_i32x4(a, acc);
    a = wasm_i32x4_replace_lane(a, 2, i);
    wasm_v128_store(heap + 4 * (i & 7), a);
    acc = wasm_v128_load32_lane(heap + (i & 3), acc, 1);
    a = wasm_i64x2_sub(a, wasm_u64x2_load32x2(heap + 4));
    acc = wasm_v128_bitselect(acc, a, wasm_i64x2_gt(a, acc));
    acc = wasm_v128_or(acc, wasm_v128_load32_splat(heap + 2));
    a = wasm_f32x4_convert_i32x4(a);
    a = wasm_i32x4_trunc_sat_f32x4(a);
    acc = wasm_i8x16_swizzle(acc, a);
  }
  return wasm_i32x4_extract_lane(acc, 0) ^ wasm_i32x4_extract_lane(acc, 3) ^ (u32)wasm_i8x16_bitmask(a);
}

static u32 odd(u32 n, u32 acc);
static u32 even(u32 n, u32 acc) { if (!n) return acc; __attribute__((musttail)) return odd(n - 1, acc * 3 + 1); }
static u32 odd(u32 n, u32 acc) { if (!n) return ~acc; __attribute__((musttail)) return even(n - 1, acc ^ n); }
EXPORT("tail") u32 tail(u32 n) { return even(n % 5000, n); }

EXPORT("sort") u32 sort(u32 n) {
  u32 len = n % 300, seed = n;
  for (u32 i = 0; i < len; i++) heap[i] = seed = seed * 1664525 + 1013904223;
  for (u32 i = 1; i < len; i++) {
    u32 v = heap[i], j = i;
    for (; j > 0 && heap[j - 1] > v; j--) heap[j] = heap[j - 1];
    heap[j] = v;
  }
  u32 acc = 0;
  for (u32 i = 0; i < len; i++) acc = acc * 31 + heap[i];
  return acc;
}

EXPORT("bits") u32 bits(u32 n) {
  u64 x = (u64)n * 0x9E3779B97F4A7C15ull;
  u32 acc = 0;
  for (int i = 0; i < 30; i++) {
    acc += __builtin_popcountll(x) + __builtin_clzll(x | 1) * 3 + __builtin_ctz(n | 0x80000000u);
    x = x << 13 | x >> 51;
    x -= (u64)(int64_t)(int8_t)x + (int16_t)acc;
    if (x) acc ^= (u32)((u64)acc * 77777 % (x >> 33 | 1)) + (u32)((int64_t)x / ((int32_t)n | 1));
  }
  return acc;
}

EXPORT("grow") u32 grow(u32 n) {
  u32 before = __builtin_wasm_memory_size(0);
  int got = __builtin_wasm_memory_grow(0, n % 3);
  return before * 1000 + (u32)got + __builtin_wasm_memory_size(0);
}

EXPORT("ack") u32 ack_(u32 n) {
  u32 stack[64], top = 0, m = 2, r = n % 20;
  stack[top++] = m;
  u32 steps = 0;
  while (top) {
    m = stack[--top];
    steps++;
    if (m == 0) r = r + 1;
    else if (r == 0) { r = 1; stack[top++] = m - 1; }
    else { r--; stack[top++] = m - 1; stack[top++] = m; }
    if (top > 60) break;
  }
  return r ^ steps << 8;
}
