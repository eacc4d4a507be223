/* Fuzzes what Lambda hands a function. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct Buffer answer;
  static struct Trace trace;
  char *event = malloc(size ? size : 1);
  if (size) memcpy(event, data, size);
  serve_event(event, size, &answer, &trace);
  struct Json json = json_reader((struct Text){answer.start, answer.size});
  json_skip(&json);
  if (!json_done(&json)) abort();
  free(event);
  return 0;
}
