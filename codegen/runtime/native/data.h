/* The elements of tensors as JSON writes them. */
#pragma once

#include "engine.h"
#include "json.h"

/* Elements of a shape; -1 where a size is negative or they take more than a body may hold. */
int64_t data_count(const int64_t *shape, int rank, enum Datatype datatype);
/* Reads an array, flat or nested as the tensor's shape is, to the tensor's data. NULL, or what
 * is wrong with it; the reader stands somewhere within then. */
const char *data_read(struct Json *json, enum Datatype datatype, const struct Tensor *tensor);
/* Writes a tensor as a flat array. */
void data_print(struct Buffer *buffer, enum Datatype datatype, const struct Tensor *tensor);
void shape_print(struct Buffer *buffer, const int64_t *shape, int rank);
