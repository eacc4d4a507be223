/* Asks the processor what it can do. Clang's __builtin_cpu_supports answers no to everything
 * where Zig links, and hosts that hide a feature hide it here too. */
#define _GNU_SOURCE
#include "cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>

/* Words of CPUID and of XCR0 (Intel SDM, volume 2A, CPUID; volume 1, 13.3). */
struct Words {
  unsigned leaf1_ecx, leaf7_ebx, extended_ecx, xcr0;
};

#define BIT(n) (1u << (n))

/* What the x86-64 psABI puts into its levels 3 and 4, and the registers that the system must
 * save for them. */
static const struct Words v3 = {
    BIT(12) | BIT(22) | BIT(23) | BIT(27) | BIT(28) | BIT(29), /* FMA MOVBE POPCNT OSXSAVE AVX F16C */
    BIT(3) | BIT(5) | BIT(8),                                  /* BMI1 AVX2 BMI2 */
    BIT(5),                                                    /* LZCNT */
    BIT(1) | BIT(2),                                           /* XMM YMM */
};
static const struct Words v4 = {
    0,
    BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31), /* AVX512 F DQ CD BW VL */
    0,
    BIT(5) | BIT(6) | BIT(7), /* masks, ZMM0-15, ZMM16-31 */
};

static int all(const struct Words *has, const struct Words *needs) {
  return !(needs->leaf1_ecx & ~has->leaf1_ecx) && !(needs->leaf7_ebx & ~has->leaf7_ebx) &&
         !(needs->extended_ecx & ~has->extended_ecx) && !(needs->xcr0 & ~has->xcr0);
}

static int enough(enum CpuLevel level, const struct Words *words) {
  switch (level) {
    case CPU_X86_64: return 1;
    case CPU_X86_64_V3: return all(words, &v3);
    case CPU_X86_64_V4: return all(words, &v3) && all(words, &v4);
    default: return 0;
  }
}

static struct Words ask(void) {
  struct Words words = {0, 0, 0, 0};
  unsigned a, b, c, d, high;
  if (__get_cpuid(1, &a, &b, &c, &d)) words.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) words.leaf7_ebx = b;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) words.extended_ecx = c;
  if (words.leaf1_ecx & BIT(27)) /* OSXSAVE: XGETBV may be used */
    __asm__ volatile("xgetbv" : "=a"(words.xcr0), "=d"(high) : "c"(0));
  return words;
}

int cpu_has(enum CpuLevel level) {
  const struct Words words = ask();
  return enough(level, &words);
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

int cpu_has(enum CpuLevel level) {
  const unsigned long needed = HWCAP_ASIMDDP | HWCAP_ASIMDHP | HWCAP_ATOMICS;
  if (level == CPU_GENERIC) return 1;
  return level == CPU_NEOVERSE_N1 && (getauxval(AT_HWCAP) & needed) == needed;
}

#endif
