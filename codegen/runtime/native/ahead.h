/* Weights are mapped ahead of the kernels that read them, while others run. */
#pragma once

#include "plan.h"

/* Starts a thread that goes over the weights of a program in the order of its calls; those of
 * branches, which may not be taken, stay untouched. Where there is no thread to be had, the
 * kernels map what they read, as they do without. */
void ahead_start(const struct Plan *plan);
