/* Levels of vector instructions that kernels may need. */
#pragma once

enum CpuLevel { CPU_X86_64, CPU_X86_64_V3, CPU_X86_64_V4, CPU_GENERIC, CPU_NEOVERSE_N1 };

/* Whether this processor has a level's instructions and its system lets programs use them.
 * Of another architecture it has none. */
int cpu_has(enum CpuLevel level);
