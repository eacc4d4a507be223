/* Asks the processor what it can do. Clang's __builtin_cpu_supports answers no to everything
 * where Zig links, and hosts that hide a feature hide it here too. */
#define _GNU_SOURCE
#include "cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>

/* Bits of CPUID and XCR0 (Intel SDM, volume 2A, CPUID; volume 1, 13.3), and what the x86-64
 * psABI puts into its levels 3 and 4. */
enum {
  LEAF1_ECX = 1 << 12 | 1 << 22 | 1 << 23 | 1 << 27 | 1 << 28 | 1 << 29, /* FMA MOVBE POPCNT OSXSAVE AVX F16C */
  EXTENDED_ECX = 1 << 5,                                                 /* LZCNT */
  LEAF7_EBX_V3 = 1 << 3 | 1 << 5 | 1 << 8,                               /* BMI1 AVX2 BMI2 */
  XCR0_V3 = 1 << 1 | 1 << 2,                                             /* XMM YMM */
  XCR0_V4 = XCR0_V3 | 1 << 5 | 1 << 6 | 1 << 7                           /* masks ZMM */
};
static const unsigned LEAF7_EBX_V4 =
    LEAF7_EBX_V3 | 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F DQ CD BW VL */

static int all(unsigned word, unsigned bits) { return (word & bits) == bits; }

static unsigned saved_by_the_system(void) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

int cpu_has(enum CpuLevel level) {
  unsigned a, b, c1, cx, d, b7, c;
  if (level == CPU_X86_64) return 1;
  if (level != CPU_X86_64_V3 && level != CPU_X86_64_V4) return 0;
  if (!__get_cpuid(1, &a, &b, &c1, &d) || !all(c1, LEAF1_ECX)) return 0;
  if (!__get_cpuid(0x80000001, &a, &b, &cx, &d) || !all(cx, EXTENDED_ECX)) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c, &d)) return 0;
  if (level == CPU_X86_64_V3) return all(b7, LEAF7_EBX_V3) && all(saved_by_the_system(), XCR0_V3);
  return all(b7, LEAF7_EBX_V4) && all(saved_by_the_system(), XCR0_V4);
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

int cpu_has(enum CpuLevel level) {
  const unsigned long needed = HWCAP_ASIMDDP | HWCAP_ASIMDHP | HWCAP_ATOMICS;
  if (level == CPU_GENERIC) return 1;
  return level == CPU_NEOVERSE_N1 && (getauxval(AT_HWCAP) & needed) == needed;
}

#endif
