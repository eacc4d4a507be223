/* The inputs of a request, and what else its reading is made of. */
#pragma once

#include "json.h"
#include "protocol.h"

struct Reader {
  struct Json json;
  struct Text rest; /* binary tensors that no input has taken yet */
  struct Asked *asked;
  struct Refusal *refusal;
};

/* Reads the list of inputs that was opened; behind a refusal, only its JSON. */
void inputs_read(struct Reader *reader);
/* Refuses where an input is missing, or bytes are left. */
void inputs_check(const struct Reader *reader);
/* Finds the place of an input whose shape is known; false with a refusal. */
bool inputs_place(int input, struct Asked *asked, struct Refusal *refusal);

/* As much of a text as a message shows. */
int cited(struct Text text);
bool is_null(struct Text value);
/* The port of a name that is written as JSON; -1 where there is none. */
int find_port(struct Text name, const struct Port *ports, int count);
/* As refuse: always false. */
bool refuse_name(struct Refusal *refusal, const char *kind, struct Text name,
                 const struct Port *ports, int count);
bool refuse_parameters(struct Refusal *refusal, const char *kind, const char *name);
