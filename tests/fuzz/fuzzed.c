/* What the fuzzed runtime serves: tensors of four kinds, given back as they come. */
#include "served.h"

static const struct Port ports[] = {
    {"x", FP32, 2, (const int64_t[]){-1, 2}},
    {"n", INT64, 1, (const int64_t[]){-1}},
    {"h", FP16, 3, (const int64_t[]){-1, -1, 2}},
    {"b", BOOL, 0, (const int64_t[]){0}},
};

const struct Served served = {.name = "net",
                              .version = "7",
                              .backend = "tvm",
                              .plan = "one",
                              .plan_digest = "two",
                              .inputs = ports,
                              .num_inputs = 4,
                              .outputs = ports,
                              .num_outputs = 4,
                              .image_input = -1};
