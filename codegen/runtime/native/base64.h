/* Base64 of RFC 4648 with padding and nothing else between. */
#pragma once

#include "text.h"

/* Bytes that a text of base64 holds, by its length and its end; -1 where it can hold none. */
ptrdiff_t base64_size(struct Text text);
/* Writes as many bytes, to the text's own place if wanted; false where it is no base64. */
bool base64_decode(struct Text text, void *place);
void base64_encode(struct Buffer *buffer, const void *bytes, size_t size);
