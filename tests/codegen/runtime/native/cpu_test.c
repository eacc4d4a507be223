/* Prints which levels of x86-64 the words of CPUID and XCR0 on the command line are enough
 * for, least first; without any, those of this processor. */
#include "cpu.c"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  struct Words words = ask();
  if (argc == 5) {
    words.leaf1_ecx = (unsigned)strtoul(argv[1], NULL, 16);
    words.leaf7_ebx = (unsigned)strtoul(argv[2], NULL, 16);
    words.extended_ecx = (unsigned)strtoul(argv[3], NULL, 16);
    words.xcr0 = (unsigned)strtoul(argv[4], NULL, 16);
  }
  printf("%d %d %d %d\n", enough(CPU_X86_64, &words), enough(CPU_X86_64_V3, &words),
         enough(CPU_X86_64_V4, &words), enough(CPU_NEOVERSE_N1, &words));
  return 0;
}
