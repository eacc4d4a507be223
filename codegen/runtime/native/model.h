/* The C interface of libmodel.so. One thread at a time; buffers are aligned to 64 bytes,
 * packed in row-major order, and do not overlap. */
#pragma once

#include <stdint.h>

#define MODEL_API __attribute__((visibility("default")))

/* Chooses the kernels for this processor and allocates the arena; further calls do nothing.
 * Zero, or non-zero with model_error set. */
MODEL_API int model_init(void);
/* How many threads kernels run on from now on, the caller's own being one: at first as many
 * as the program was compiled for, which is also the most. Returns what was set. Others are
 * started by the first run that needs them. */
MODEL_API int model_set_threads(int threads);
/* Chooses which program runs from now on, and is asked about below; at first, the first. There
 * is one for each set of sizes that the model was compiled for; model.json says which. */
MODEL_API int model_use(int program);
MODEL_API int model_n_programs(void);
/* Runs once over the caller's buffers. Zero, or non-zero with model_error set. */
MODEL_API int model_run(void **inputs, void **outputs);
/* Like model_run, and adds the nanoseconds of each kernel to its place in an array. */
MODEL_API int model_profile(void **inputs, void **outputs, uint64_t *nanoseconds);
/* The last error's text, empty where there was none. */
MODEL_API const char *model_error(void);
/* The processor whose kernels model_init chose, empty before. */
MODEL_API const char *model_processor(void);
MODEL_API int model_n_in(void);
MODEL_API int model_n_out(void);
MODEL_API int model_n_kernels(void);
MODEL_API uint64_t model_in_bytes(int input);
MODEL_API uint64_t model_out_bytes(int output);
MODEL_API uint64_t model_arena_bytes(void);
